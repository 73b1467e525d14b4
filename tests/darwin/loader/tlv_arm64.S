// tlv_address(descriptor in x0) → x0. It keeps every register but x16 and x17: compilers rely on it (dyld
// libdyld/threadLocalHelpers.s, tag dyld-1122.1; LLVM's CSR_Darwin_AArch64_TLS).
#define OFFSET 16                               // of struct tlv_descriptor
#define FRAME 144                               // x29, x30, x0 to x15
#define VECTORS 512                             // q0 to q31

        .text
        .globl  tlv_address
        .type   tlv_address, %function
tlv_address:
        adrp    x16, :gottprel:tlv_block
        ldr     x16, [x16, :gottprel_lo12:tlv_block]
        mrs     x17, tpidr_el0
        ldr     x17, [x17, x16]
        cbz     x17, .Lfirst
        ldr     x0, [x0, #OFFSET]
        add     x0, x0, x17
        ret
.Lfirst:
        .cfi_startproc
        stp     x29, x30, [sp, #-FRAME]!
        .cfi_def_cfa_offset FRAME
        .cfi_offset x29, -FRAME
        .cfi_offset x30, -FRAME + 8
        mov     x29, sp
        .cfi_def_cfa_register x29
        stp     x0, x1, [sp, #16]
        stp     x2, x3, [sp, #32]
        stp     x4, x5, [sp, #48]
        stp     x6, x7, [sp, #64]
        stp     x8, x9, [sp, #80]
        stp     x10, x11, [sp, #96]
        stp     x12, x13, [sp, #112]
        stp     x14, x15, [sp, #128]
        sub     sp, sp, #VECTORS
        stp     q0, q1, [sp, #0]
        stp     q2, q3, [sp, #32]
        stp     q4, q5, [sp, #64]
        stp     q6, q7, [sp, #96]
        stp     q8, q9, [sp, #128]
        stp     q10, q11, [sp, #160]
        stp     q12, q13, [sp, #192]
        stp     q14, q15, [sp, #224]
        stp     q16, q17, [sp, #256]
        stp     q18, q19, [sp, #288]
        stp     q20, q21, [sp, #320]
        stp     q22, q23, [sp, #352]
        stp     q24, q25, [sp, #384]
        stp     q26, q27, [sp, #416]
        stp     q28, q29, [sp, #448]
        stp     q30, q31, [sp, #480]
        bl      tlv_make
        mov     x17, x0
        ldp     q0, q1, [sp, #0]
        ldp     q2, q3, [sp, #32]
        ldp     q4, q5, [sp, #64]
        ldp     q6, q7, [sp, #96]
        ldp     q8, q9, [sp, #128]
        ldp     q10, q11, [sp, #160]
        ldp     q12, q13, [sp, #192]
        ldp     q14, q15, [sp, #224]
        ldp     q16, q17, [sp, #256]
        ldp     q18, q19, [sp, #288]
        ldp     q20, q21, [sp, #320]
        ldp     q22, q23, [sp, #352]
        ldp     q24, q25, [sp, #384]
        ldp     q26, q27, [sp, #416]
        ldp     q28, q29, [sp, #448]
        ldp     q30, q31, [sp, #480]
        mov     sp, x29
        ldp     x0, x1, [sp, #16]
        ldp     x2, x3, [sp, #32]
        ldp     x4, x5, [sp, #48]
        ldp     x6, x7, [sp, #64]
        ldp     x8, x9, [sp, #80]
        ldp     x10, x11, [sp, #96]
        ldp     x12, x13, [sp, #112]
        ldp     x14, x15, [sp, #128]
        ldp     x29, x30, [sp], #FRAME
        .cfi_def_cfa sp, 0
        ldr     x0, [x0, #OFFSET]
        add     x0, x0, x17
        ret
        .cfi_endproc
        .size   tlv_address, . - tlv_address

        .section .note.GNU-stack, "", %progbits
