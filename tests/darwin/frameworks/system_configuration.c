// SCDynamicStore: the store of configd, of which a program is told that keys have changed.
//
// Sources: SCDynamicStore.h; SCDOpen.c, SCDNotifierInformViaCallback.c of configd: patterns are POSIX extended regular
// expressions for the whole key. Values are not modelled: the program reads its interfaces from the kernel.
#include <pthread.h>
#include <regex.h>

#include "darwin.h"
#include "frameworks/run_loop.h"
#include "machine/machine.h"
#include "system/allocate.h"

// SCDynamicStore.h: SCDynamicStoreContext.
struct store_context {
    cf_index version;
    void *info;
    const void *(*retain)(const void *);
    void (*release)(const void *);
    const void *describe;
};
struct store {
    struct object object;
    void (*callout)(struct store *, struct array *keys, void *info);
    struct store_context context;
    struct array *keys, *patterns;  // that are watched; NULL: none
    struct array *changed;          // and not told yet; NULL: none
    struct source *source;
    struct store *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;  // of the stores
static struct store *stores;

STRING_CONSTANT("_kSCDynamicStoreUseSessionKeys", use_session_keys, "UseSessionKeys")

static void let_go(void *of) {
    if (of) object_release(of);
}

static void end(struct object *object) {
    struct store *store = (struct store *)object;
    pthread_mutex_lock(&lock);
    struct store **at = &stores;
    while (*at != store) at = &(*at)->next;
    *at = store->next;
    pthread_mutex_unlock(&lock);
    let_go(store->keys);
    let_go(store->patterns);
    let_go(store->changed);
    if (store->context.release) store->context.release(store->context.info);
}
static const struct type store_type = {.name = "SCDynamicStore", .end = end};

static unsigned long darwin_SCDynamicStoreGetTypeID(void) { return (unsigned long)&store_type; }

static struct store *darwin_SCDynamicStoreCreateWithOptions(const void *allocator, const void *name,
                                                            const void *options,
                                                            void (*callout)(struct store *, struct array *, void *),
                                                            const struct store_context *context) {
    (void)allocator;
    object_of(&string_type, name);
    if (options) object_of(&dictionary_type, options);
    struct store *made = object_create(&store_type, sizeof *made);
    made->callout = callout;
    if (context) made->context = *context;
    if (made->context.retain) made->context.info = (void *)made->context.retain(made->context.info);
    pthread_mutex_lock(&lock);
    made->next = stores;
    stores = made;
    pthread_mutex_unlock(&lock);
    return made;
}

static struct array *strings_of(const void *array) {
    if (!array) return NULL;
    struct array *strings = object_of(&array_type, array);
    for (cf_index i = 0; i < strings->count; i++) object_of(&string_type, strings->items[i]);
    return object_retain(strings);
}

// NULL: it is no regular expression.
static regex_t *expression_of(const struct string *pattern) {
    char text[1024];
    if (pattern->length + sizeof "^()$" > sizeof text) refuse("a pattern of %zu bytes", pattern->length);
    snprintf(text, sizeof text, "^(%.*s)$", (int)pattern->length, pattern->bytes);
    regex_t *expression = zeroed(1, sizeof *expression);
    if (!regcomp(expression, text, REG_EXTENDED | REG_NOSUB)) return expression;
    free(expression);
    return NULL;
}

static bool matches(const struct string *pattern, const char *key) {
    regex_t *expression = expression_of(pattern);
    bool fits = expression && !regexec(expression, key, 0, NULL, 0);
    if (expression) regfree(expression);
    free(expression);
    return fits;
}

static cf_boolean darwin_SCDynamicStoreSetNotificationKeys(void *at, const void *keys, const void *patterns) {
    struct store *store = object_of(&store_type, at);
    struct array *exact = strings_of(keys), *expressions = strings_of(patterns);
    for (cf_index i = 0; expressions && i < expressions->count; i++) {
        const struct string *pattern = (const struct string *)expressions->items[i];
        regex_t *expression = expression_of(pattern);
        if (!expression) {
            let_go(exact);
            let_go(expressions);
            return false;
        }
        regfree(expression);
        free(expression);
        machine_note("network watches %.*s", (int)pattern->length, pattern->bytes);
    }
    pthread_mutex_lock(&lock);
    let_go(store->keys);
    let_go(store->patterns);
    store->keys = exact;
    store->patterns = expressions;
    pthread_mutex_unlock(&lock);
    return true;
}

static void tell(void *info) {
    struct store *store = info;
    pthread_mutex_lock(&lock);
    struct array *changed = store->changed;
    store->changed = NULL;
    pthread_mutex_unlock(&lock);
    if (!changed) return;
    if (store->callout) store->callout(store, changed, store->context.info);
    object_release(changed);
}

static const void *retain_store(const void *store) { return object_retain((void *)store); }

// At the end of the source.
static void release_store(const void *of) {
    struct store *store = (struct store *)of;
    pthread_mutex_lock(&lock);
    store->source = NULL;
    pthread_mutex_unlock(&lock);
    object_release(store);
}

// The source holds the store, which knows it as long as it is there.
static struct source *darwin_SCDynamicStoreCreateRunLoopSource(const void *allocator, void *at, cf_index order) {
    (void)allocator, (void)order;
    struct store *store = object_of(&store_type, at);
    struct source *made = source_create_holding(tell, store, retain_store, release_store);
    pthread_mutex_lock(&lock);
    if (store->source) refuse("a second source of one SCDynamicStore");
    store->source = made;
    pthread_mutex_unlock(&lock);
    machine_listen();
    return made;
}
OURS(SCDynamicStoreGetTypeID) OURS(SCDynamicStoreCreateWithOptions) OURS(SCDynamicStoreSetNotificationKeys)
OURS(SCDynamicStoreCreateRunLoopSource)

// ---- what the machine says ------------------------------------------------------------------------------------------

static bool watches(const struct store *store, const char *key) {
    for (cf_index i = 0; store->keys && i < store->keys->count; i++) {
        if (string_is((const struct string *)store->keys->items[i], key)) return true;
    }
    for (cf_index i = 0; store->patterns && i < store->patterns->count; i++) {
        if (matches((const struct string *)store->patterns->items[i], key)) return true;
    }
    return false;
}

static void add_changed(struct store *store, const char *key) {
    struct object *items[64];
    cf_index count = 0;
    for (; store->changed && count < store->changed->count; count++) items[count] = store->changed->items[count];
    if (count == sizeof items / sizeof *items) refuse("too many keys have changed unheard");
    items[count] = (struct object *)string_of(key);
    struct array *changed = array_of(count + 1, items);
    object_release(items[count]);
    let_go(store->changed);
    store->changed = changed;
}

// Keys, with spaces between them.
static bool hear_network(const char *arguments, char *answer, size_t room) {
    char keys[1024], *rest = NULL;
    snprintf(keys, sizeof keys, "%s", arguments);
    int told = 0;
    pthread_mutex_lock(&lock);
    for (char *key = strtok_r(keys, " ", &rest); key; key = strtok_r(NULL, " ", &rest)) {
        for (struct store *store = stores; store; store = store->next) {
            if (!store->source || !watches(store, key)) continue;
            add_changed(store, key);
            source_arrive(store->source);
            told++;
        }
    }
    pthread_mutex_unlock(&lock);
    snprintf(answer, room, "told of %d", told);
    return told > 0;
}
WORD("network", hear_network)
