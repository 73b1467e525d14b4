#ifndef HARNESS_THREAD_H
#define HARNESS_THREAD_H

#include <IOKit/IOTypes.h>

typedef int wait_result_t;
typedef void (*thread_continue_t)(void *parameter, wait_result_t result);

extern "C" {
kern_return_t kernel_thread_start(thread_continue_t continuation, void *parameter, thread_t *thread);
void thread_deallocate(thread_t thread);
thread_t current_thread(void);
kern_return_t thread_terminate(thread_t thread);
}

#endif
