// tlv_address(descriptor in %rdi) → %rax. It keeps every other register: compilers rely on it (dyld
// libdyld/threadLocalHelpers.s, tag dyld-1122.1; LLVM's CSR_64_TLS_Darwin).
#define OFFSET 16                               // of struct tlv_descriptor
#define SAVED 64                                // what is pushed below the frame
#define FXSAVE 512

        .text
        .globl  tlv_address
        .type   tlv_address, @function
tlv_address:
        movq    tlv_block@gottpoff(%rip), %rax
        movq    %fs:(%rax), %rax
        testq   %rax, %rax
        je      .Lfirst
        addq    OFFSET(%rdi), %rax
        ret
.Lfirst:
        .cfi_startproc
        pushq   %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset %rbp, -16
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        pushq   %rdi
        pushq   %rsi
        pushq   %rdx
        pushq   %rcx
        pushq   %r8
        pushq   %r9
        pushq   %r10
        pushq   %r11
        subq    $FXSAVE, %rsp
        andq    $-16, %rsp
        fxsave  (%rsp)
        call    tlv_make
        fxrstor (%rsp)
        leaq    -SAVED(%rbp), %rsp
        popq    %r11
        popq    %r10
        popq    %r9
        popq    %r8
        popq    %rcx
        popq    %rdx
        popq    %rsi
        popq    %rdi
        popq    %rbp
        .cfi_def_cfa %rsp, 8
        addq    OFFSET(%rdi), %rax
        ret
        .cfi_endproc
        .size   tlv_address, . - tlv_address

        .section .note.GNU-stack, "", @progbits
