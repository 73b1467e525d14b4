/* Layouts of what crosses the border, asserted here for C and C++ and in src/abi.rs and messages/src/lib.rs for Rust. */
#ifndef ISCSI_LAYOUT_H
#define ISCSI_LAYOUT_H

#include "iscsi_kext.h"
#include "iscsi_session.h"

#ifdef __cplusplus
#define ISCSI_ASSERT(what) static_assert(what, #what)
#else
#define ISCSI_ASSERT(what) _Static_assert(what, #what)
#endif

ISCSI_ASSERT(sizeof(struct iscsi_config) == 40);
ISCSI_ASSERT(sizeof(struct iscsi_command) == 40);
ISCSI_ASSERT(offsetof(struct iscsi_command, direction) == 36);
ISCSI_ASSERT(sizeof(struct iscsi_receive_plan) == 24);
ISCSI_ASSERT(offsetof(struct iscsi_receive_plan, token) == 16);
ISCSI_ASSERT(sizeof(struct iscsi_transmit) == 88);
ISCSI_ASSERT(offsetof(struct iscsi_transmit, head) == 32);
ISCSI_ASSERT(offsetof(struct iscsi_transmit, data_digest) == 84);
ISCSI_ASSERT(sizeof(struct iscsi_event) == 144);
ISCSI_ASSERT(offsetof(struct iscsi_event, sense) == 48);
ISCSI_ASSERT(sizeof(struct iscsi_state) == 72);
ISCSI_ASSERT(offsetof(struct iscsi_state, link) == 56);

ISCSI_ASSERT(sizeof(struct IscsiHandoff) == 60);
ISCSI_ASSERT(offsetof(struct IscsiHandoff, isid) == 44);
ISCSI_ASSERT(sizeof(struct IscsiHelloIn) == 8);
ISCSI_ASSERT(sizeof(struct IscsiHelloOut) == 16);
ISCSI_ASSERT(sizeof(struct IscsiListenIn) == 8);
ISCSI_ASSERT(sizeof(struct IscsiSpec) == 240);
ISCSI_ASSERT(offsetof(struct IscsiSpec, depth) == 224);
ISCSI_ASSERT(sizeof(struct IscsiCreateIn) == 312);
ISCSI_ASSERT(offsetof(struct IscsiCreateIn, descriptor) == 300);
ISCSI_ASSERT(sizeof(struct IscsiCreateOut) == 8);
ISCSI_ASSERT(sizeof(struct IscsiReplaceIn) == 72);
ISCSI_ASSERT(offsetof(struct IscsiReplaceIn, handoff) == 12);
ISCSI_ASSERT(sizeof(struct IscsiSessionIn) == 8);
ISCSI_ASSERT(sizeof(struct IscsiRemoveIn) == 8);
ISCSI_ASSERT(sizeof(struct IscsiLogoutIn) == 8);
ISCSI_ASSERT(sizeof(struct IscsiSessionsIn) == 8);
ISCSI_ASSERT(sizeof(struct IscsiSessionInfo) == 256);
ISCSI_ASSERT(sizeof(struct IscsiSessionsOut) == 2056);
ISCSI_ASSERT(sizeof(struct IscsiConnectionOut) == 232);
ISCSI_ASSERT(offsetof(struct IscsiConnectionOut, reason) == 72);
ISCSI_ASSERT(sizeof(struct IscsiStatisticsOut) == 88);
ISCSI_ASSERT(sizeof(struct IscsiExecuteIn) == 40);
ISCSI_ASSERT(sizeof(struct IscsiExecuteOut) == 112);
ISCSI_ASSERT(sizeof(struct IscsiFenceIn) == 16);
ISCSI_ASSERT(offsetof(struct IscsiFenceIn, lun) == 8);
ISCSI_ASSERT(sizeof(struct IscsiNotice) == 128);
ISCSI_ASSERT(offsetof(struct IscsiNotice, text) == 32);

#endif
