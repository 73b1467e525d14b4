#include "frameworks/run_loop.h"

#include <pthread.h>

#include "darwin.h"

struct source {
    struct object object;
    struct source_context context;
    bool signalled, valid;
    struct loop *loop;      // that it was added to; a source of ours is in one at most
    struct source *next;    // in that loop
};
struct loop {
    struct object object;
    pthread_cond_t changed;
    struct source *sources;
    bool woken, stopped, running;
};

// Of every loop and source. What the program is called with is called without it.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

STRING_CONSTANT("_kCFRunLoopDefaultMode", default_mode, "kCFRunLoopDefaultMode")
STRING_CONSTANT("_kCFRunLoopCommonModes", common_modes, "kCFRunLoopCommonModes")

// Common modes are the default one, unless somebody adds others (CFRunLoop.c), which nobody can here.
static void is_usual_mode(const void *mode) {
    if (!object_equal(mode, &default_mode) && !object_equal(mode, &common_modes))
        refuse("a run loop's mode of its own");
}

// ---- sources --------------------------------------------------------------------------------------------------------

static void end_source(struct object *object) {
    struct source *source = (struct source *)object;
    if (source->context.release) source->context.release(source->context.info);
}
static const struct type source_type = {.name = "CFRunLoopSource", .end = end_source};

static struct source *darwin_CFRunLoopSourceCreate(const void *allocator, cf_index order,
                                                   const struct source_context *context) {
    (void)allocator, (void)order;  // of sources that are due at once, one is as good as another
    if (context->version != 0) refuse("a run loop source of version %ld", context->version);
    struct source *made = object_create(&source_type, sizeof *made);
    made->context = *context;
    made->valid = true;
    if (context->retain) made->context.info = (void *)context->retain(context->info);
    return made;
}

struct source *source_create_holding(void (*perform)(void *info), void *info, const void *(*retain)(const void *),
                                     void (*release)(const void *)) {
    struct source_context context = {.perform = perform, .info = info, .retain = retain, .release = release};
    return darwin_CFRunLoopSourceCreate(NULL, 0, &context);
}

struct source *source_create(void (*perform)(void *info), void *info) {
    return source_create_holding(perform, info, NULL, NULL);
}

static void wake(struct loop *loop) {
    loop->woken = true;
    pthread_cond_broadcast(&loop->changed);
}

void source_arrive(struct source *source) {
    pthread_mutex_lock(&lock);
    source->signalled = true;
    if (source->loop) wake(source->loop);
    pthread_mutex_unlock(&lock);
}

// It stays due until a loop has served it; but a loop that sleeps goes on sleeping.
static void darwin_CFRunLoopSourceSignal(void *at) {
    struct source *source = object_of(&source_type, at);
    pthread_mutex_lock(&lock);
    if (source->valid) source->signalled = true;
    pthread_mutex_unlock(&lock);
}

// Takes it out, and gives the loop's reference to the caller; NULL: it was in none. With the lock.
static struct source *take_out(struct source *source) {
    struct loop *loop = source->loop;
    if (!loop) return NULL;
    struct source **at = &loop->sources;
    while (*at != source) at = &(*at)->next;
    *at = source->next;
    source->loop = NULL;
    return source;
}

static void remove_source(struct source *source, struct loop *of) {
    pthread_mutex_lock(&lock);
    struct loop *loop = source->loop;
    struct source *removed = !of || of == loop ? take_out(source) : NULL;
    pthread_mutex_unlock(&lock);
    if (!removed) return;
    if (removed->context.cancel) removed->context.cancel(removed->context.info, loop, &default_mode);
    object_release(removed);
}

static void darwin_CFRunLoopSourceInvalidate(void *at) {
    struct source *source = object_of(&source_type, at);
    pthread_mutex_lock(&lock);
    source->valid = source->signalled = false;
    pthread_mutex_unlock(&lock);
    remove_source(source, NULL);
}

// ---- loops ----------------------------------------------------------------------------------------------------------

static void end_loop(struct object *object) { pthread_cond_destroy(&((struct loop *)object)->changed); }
static const struct type loop_type = {.name = "CFRunLoop", .end = end_loop};

static pthread_key_t of_thread;

// A thread's loop lets go of its sources when the thread ends (CFRunLoop.c, __CFFinalizeRunLoop).
static void thread_ends(void *at) {
    struct loop *loop = at;
    while (loop->sources) remove_source(loop->sources, loop);
    object_release(loop);
}

static void make_key(void) {
    if (pthread_key_create(&of_thread, thread_ends)) refuse("no key for the run loops of threads");
}

// Not the caller's reference: the thread's (the get rule).
static struct loop *darwin_CFRunLoopGetCurrent(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_key);
    struct loop *loop = pthread_getspecific(of_thread);
    if (!loop) {
        loop = object_create(&loop_type, sizeof *loop);
        pthread_cond_init(&loop->changed, NULL);
        if (pthread_setspecific(of_thread, loop)) refuse("no memory for a thread's run loop");
    }
    return loop;
}

static void darwin_CFRunLoopAddSource(void *into, void *at, const void *mode) {
    struct loop *loop = object_of(&loop_type, into);
    struct source *source = object_of(&source_type, at);
    is_usual_mode(mode);
    pthread_mutex_lock(&lock);
    if (source->loop && source->loop != loop) refuse("a source in two run loops");
    bool added = source->valid && !source->loop;
    if (added) {
        source->loop = loop;
        source->next = loop->sources;
        loop->sources = object_retain(source);
        wake(loop);
    }
    pthread_mutex_unlock(&lock);
    if (added && source->context.schedule) source->context.schedule(source->context.info, loop, mode);
}

static void darwin_CFRunLoopRemoveSource(void *from, void *at, const void *mode) {
    is_usual_mode(mode);
    remove_source(object_of(&source_type, at), object_of(&loop_type, from));
}

static void darwin_CFRunLoopWakeUp(void *at) {
    struct loop *loop = object_of(&loop_type, at);
    pthread_mutex_lock(&lock);
    wake(loop);
    pthread_mutex_unlock(&lock);
}

// Of a loop that runs. Said to one that has not begun, it is lost: a run begins with a state of its own
// (__CFRunLoopPushPerRunData).
static void darwin_CFRunLoopStop(void *at) {
    struct loop *loop = object_of(&loop_type, at);
    pthread_mutex_lock(&lock);
    if (loop->running) loop->stopped = true;
    wake(loop);
    pthread_mutex_unlock(&lock);
}

// Until it is stopped, or has no sources.
static void darwin_CFRunLoopRun(void) {
    struct loop *loop = darwin_CFRunLoopGetCurrent();
    pthread_mutex_lock(&lock);
    if (loop->running) refuse("a run loop within itself");
    loop->running = true;
    loop->stopped = false;
    while (!loop->stopped && loop->sources) {
        struct source *due = loop->sources;
        while (due && !due->signalled) due = due->next;
        if (due) {
            due->signalled = false;
            object_retain(due);
            pthread_mutex_unlock(&lock);
            due->context.perform(due->context.info);
            object_release(due);
            pthread_mutex_lock(&lock);
            continue;
        }
        while (!loop->woken && !loop->stopped) pthread_cond_wait(&loop->changed, &lock);
        loop->woken = false;
    }
    loop->running = false;
    pthread_mutex_unlock(&lock);
}

OURS(CFRunLoopSourceCreate) OURS(CFRunLoopSourceSignal) OURS(CFRunLoopSourceInvalidate) OURS(CFRunLoopGetCurrent)
OURS(CFRunLoopAddSource) OURS(CFRunLoopRemoveSource) OURS(CFRunLoopWakeUp) OURS(CFRunLoopStop) OURS(CFRunLoopRun)
