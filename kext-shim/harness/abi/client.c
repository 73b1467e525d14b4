/* The border as C uses it: one read, from submission to its data, with the archive that a kernel links. What a kernel would
 * provide is here, and counts. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iscsi_layout.h"

#define EXPECT(condition)                                                                                                          \
    do {                                                                                                                           \
        if (!(condition)) {                                                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                                \
            exit(1);                                                                                                               \
        }                                                                                                                          \
    } while (0)

static size_t allocated, freed, calls;

void *IOMallocAligned(size_t size, size_t alignment)
{
    void *address = NULL;
    if (posix_memalign(&address, alignment < sizeof(void *) ? sizeof(void *) : alignment, size) != 0) {
        return NULL;
    }
    allocated += size;
    ++calls;
    return address;
}

void IOFreeAligned(void *address, size_t size)
{
    freed += size;
    free(address);
}

_Noreturn void panic(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    abort();
}

static void put(uint8_t *to, uint32_t value)
{
    for (int at = 0; at < 4; ++at) {
        to[at] = (uint8_t)(value >> (24 - 8 * at));
    }
}

int main(void)
{
    EXPECT(iscsi_abi_version() == ISCSI_ABI_VERSION);
    struct iscsi_config config = {.version = ISCSI_ABI_VERSION, .depth = 8, .commands = 16, .function_timeout = 1, .replacement_timeout = 1};
    struct IscsiHandoff handoff = {.version = ISCSI_HANDOFF_VERSION, .cmd_sn = 5, .exp_stat_sn = 9, .max_cmd_sn = 20,
        .first_burst_length = 65536, .max_burst_length = 262144, .max_recv_data_segment_length = 65536,
        .max_send_data_segment_length = 65536, .tsih = 1, .max_outstanding_r2t = 1, .immediate_data = 1};
    struct iscsi_session *session = NULL;
    EXPECT(iscsi_session_create(&config, &handoff, 0, &session) == ISCSI_OK);
    size_t made = calls;

    uint8_t buffer[512] = {0};
    struct iscsi_command command = {.token = (uint64_t)(uintptr_t)buffer, .data_length = sizeof(buffer), .direction = ISCSI_DATA_IN, .attribute = 1};
    command.cdb[0] = 0x28;
    command.cdb[8] = 1;
    uint64_t tag = 0;
    EXPECT(iscsi_session_submit(session, &command, &tag) == ISCSI_OK && tag != 0);
    EXPECT(iscsi_session_wants_transmit(session) == 1);

    struct iscsi_transmit sent;
    EXPECT(iscsi_session_transmit(session, &sent) == 1);
    EXPECT(sent.head_length == 48 && sent.payload == ISCSI_PAYLOAD_NONE && sent.head[0] == 0x01);
    EXPECT(iscsi_session_transmit(session, &sent) == 0);

    /* Data-In with status: F and S, StatSN, window, all of the data. */
    uint8_t answer[48 + sizeof(buffer)] = {0x25, 0x81};
    answer[6] = sizeof(buffer) >> 8;
    memcpy(answer + 16, sent.head + 16, 4);
    memset(answer + 20, 0xff, 4);
    put(answer + 24, 9);
    put(answer + 28, 6);
    put(answer + 32, 30);
    for (size_t at = 0; at < sizeof(buffer); ++at) {
        answer[48 + at] = (uint8_t)(at * 7);
    }
    for (size_t at = 0; at < sizeof(answer);) {
        struct iscsi_receive_plan plan;
        EXPECT(iscsi_session_receive_plan(session, &plan) == ISCSI_OK);
        /* In pieces of 100 bytes. */
        size_t piece = sizeof(answer) - at < 100 ? sizeof(answer) - at : 100, used = 0;
        if (plan.kind == ISCSI_RECEIVE_PLACE) {
            used = piece < plan.length ? piece : plan.length;
            memcpy((uint8_t *)(uintptr_t)plan.token + plan.offset, answer + at, used);
            EXPECT(iscsi_session_placed(session, 1, answer + at, used) == ISCSI_OK);
        } else {
            EXPECT(plan.kind == ISCSI_RECEIVE_HERE);
            EXPECT(iscsi_session_received(session, 1, answer + at, piece, &used) == ISCSI_OK);
        }
        at += used;
    }
    struct iscsi_event event;
    EXPECT(iscsi_session_event(session, &event) == 1);
    EXPECT(event.kind == ISCSI_EVENT_TASK_DONE && event.token == command.token && event.tag == tag);
    EXPECT(event.outcome == ISCSI_OUTCOME_STATUS && event.status == 0 && event.transferred == sizeof(buffer));
    EXPECT(memcmp(buffer, answer + 48, sizeof(buffer)) == 0);
    EXPECT(iscsi_session_event(session, &event) == 0);
    EXPECT(calls == made);

    /* RFC 7143, appendix A.4: 32 bytes of zeroes. */
    const uint8_t zeroes[32] = {0};
    EXPECT(iscsi_crc32c(0, zeroes, sizeof(zeroes)) == 0x8a9136aa);

    EXPECT(iscsi_session_destroy(session) == ISCSI_OK);
    EXPECT(allocated == freed);
    printf("a session takes %zu bytes in %zu allocations\n", allocated, made);
    return 0;
}
