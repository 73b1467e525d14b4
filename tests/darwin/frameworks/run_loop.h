// CFRunLoop: what a thread waits in, and its sources. Of modes there is the default one; timers and observers are not
// modelled. Source: CFRunLoop.c (tag CF-1153.18).
#pragma once
#include "frameworks/object.h"

// CFRunLoop.h: CFRunLoopSourceContext, of version 0.
struct source_context {
    cf_index version;
    void *info;
    const void *(*retain)(const void *);
    void (*release)(const void *);
    const void *describe, *equal, *hash;
    void (*schedule)(void *info, void *loop, const void *mode);
    void (*cancel)(void *info, void *loop, const void *mode);
    void (*perform)(void *info);
};
struct source;
// One that `perform`s in the loop it is added to. `info` is not counted.
struct source *source_create(void (*perform)(void *info), void *info);
// The same, with `info` counted.
struct source *source_create_holding(void (*perform)(void *info), void *info, const void *(*retain)(const void *),
                                     void (*release)(const void *));
// As when a message comes to its port: it performs soon, without CFRunLoopWakeUp.
void source_arrive(struct source *source);
