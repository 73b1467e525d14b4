// Templates of the thunks, copied by imports.c: 64 bytes each, the last 16 are the import and where to go. A thunk may
// use %r11 (System V ABI for AMD64, 3.2.3: it belongs to nobody at a call).
#define WORDS 48

        .section .rodata
        .balign 64
        .globl  thunk_function
thunk_function:
        movq    .Lfunction_import(%rip), %r11
        incq    (%r11)                          // the count: two threads at once may lose one, nought it stays for none
        jmp     *.Lfunction_target(%rip)
        .org    thunk_function + WORDS, 0xcc
.Lfunction_import:
        .quad   0
.Lfunction_target:
        .quad   0

        .globl  thunk_missing
thunk_missing:
        movq    .Lmissing_import(%rip), %rdi
        movq    (%rsp), %rsi                    // who called
        andq    $-16, %rsp
        call    *.Lmissing_target(%rip)
        .org    thunk_missing + WORDS, 0xcc
.Lmissing_import:
        .quad   0
.Lmissing_target:
        .quad   0

        .section .note.GNU-stack, "", @progbits
