// Templates of the thunks, copied by imports.c: 64 bytes each, the last 16 are the import and where to go. A thunk may
// use x16 and x17 (AAPCS64, 6.1.1: they belong to nobody at a call).
#define WORDS 48

        // `argument` is what is done with what stands for `...`, which Darwin passes on the stack.
        .macro  template argument:vararg
8:      ldr     x16, 6f
        ldr     x17, [x16]
        add     x17, x17, #1
        str     x17, [x16]                      // the count: two threads at once may lose one
        \argument
        ldr     x16, 7f
        br      x16
        .org    8b + WORDS
6:      .quad   0
7:      .quad   0
        .endm

        .section .rodata
        .balign 64
        .globl  thunk_function
thunk_function:
        template

        .globl  thunk_missing
thunk_missing:
        ldr     x0, 6f
        mov     x1, x30                         // who called
        ldr     x16, 7f
        blr     x16
        .org    thunk_missing + WORDS
6:      .quad   0
7:      .quad   0

        // After 0, 1, … 7 arguments.
        .globl  thunks_first_of_dots
thunks_first_of_dots:
        .irp    register, x0, x1, x2, x3, x4, x5, x6, x7
        template ldr \register, [sp]
        .endr

        .globl  thunks_list_of_dots
thunks_list_of_dots:
        .irp    register, x0, x1, x2, x3, x4, x5, x6, x7
        template mov \register, sp
        .endr

        .section .note.GNU-stack, "", @progbits
