// What the objects of pthread_… begin with: a signature, by which libpthread tells what has been made, what is as its
// static initialiser left it, and what is neither. libpthread's src/types_internal.h and
// include/pthread/pthread_impl.h; sizes from include/sys/_pthread/_pthread_types.h (tag libpthread-519).
#pragma once
#include "darwin.h"

#include <pthread.h>
#include <stdatomic.h>

enum signature {
    NO_SIGNATURE = 0,  // destroyed, or never made
    MUTEX_STATIC = 0x32AAABA7,             // _PTHREAD_MUTEX_SIG_init
    MUTEX_STATIC_ERRORCHECK = 0x32AAABA1,  // _PTHREAD_ERRORCHECK_MUTEX_SIG_init
    MUTEX_STATIC_RECURSIVE = 0x32AAABA2,   // _PTHREAD_RECURSIVE_MUTEX_SIG_init
    MUTEX_STATIC_FIRSTFIT = 0x32AAABA3,    // _PTHREAD_FIRSTFIT_MUTEX_SIG_init
    MUTEX_MADE = 0x4D555458,               // _PTHREAD_MUTEX_SIG: 'MUTX'
    MUTEXATTR_MADE = 0x4D545841,           // _PTHREAD_MUTEX_ATTR_SIG: 'MTXA'
    COND_STATIC = 0x3CB0B1BB,              // _PTHREAD_COND_SIG_init
    COND_MADE = 0x434F4E44,                // _PTHREAD_COND_SIG_pristine: 'COND'
    RWLOCK_STATIC = 0x2DA8B3B4,            // _PTHREAD_RWLOCK_SIG_init
    RWLOCK_MADE = 0x52574C4B,              // _PTHREAD_RWLOCK_SIG: 'RWLK'
    ATTR_MADE = 0x54484441,                // _PTHREAD_ATTR_SIG: 'THDA'
};

struct darwin_mutex { _Atomic long signature; union { pthread_mutex_t held; char opaque[56]; }; };
struct darwin_mutexattr { long signature; int32_t type; int32_t unused; };
struct darwin_cond { _Atomic long signature; union { pthread_cond_t *_Atomic made; char opaque[40]; }; };
struct darwin_rwlock { _Atomic long signature; union { pthread_rwlock_t held; char opaque[192]; }; };
struct darwin_attr { long signature; size_t stack_size; char unused[48]; };
_Static_assert(sizeof(struct darwin_mutex) == 8 + 56, "pthread_mutex_t");
_Static_assert(sizeof(struct darwin_mutexattr) == 8 + 8, "pthread_mutexattr_t");
_Static_assert(sizeof(struct darwin_cond) == 8 + 40, "pthread_cond_t");
_Static_assert(sizeof(struct darwin_rwlock) == 8 + 192, "pthread_rwlock_t");
_Static_assert(sizeof(struct darwin_attr) == 8 + 56, "pthread_attr_t");

// Makes the mutex if its static initialiser is all that it has had. 0, or Darwin's EINVAL: it is none.
int mutex_ready(struct darwin_mutex *mutex);
