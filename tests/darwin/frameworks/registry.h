// The I/O registry, as far as the extension's service: what its SCSI stack has found is below it.
//
//   IscsiHBA
//    └ IOSCSIParallelInterfaceDevice    Protocol Characteristics: SCSI Target Identifier
//       └ IOSCSITargetDevice
//          └ IOSCSILogicalUnitNub       Protocol Characteristics: SCSI Logical Unit Number
//             └ IOBlockStorageDriver
//                └ IOMedia              Whole, BSD Name
//
// Names: IOSCSIParallelInterfaceDevice.h, IOSCSITargetDevice.h (IOSCSIArchitectureModelFamily), IOMedia.h, IOBSD.h
// (IOStorageFamily).
#pragma once
#include "frameworks/io_object.h"
#include "frameworks/kernel_sim.h"

// The service. The user clients that are opened on it are elsewhere.
struct service;
// NULL: there is no extension.
struct service *registry_find(const char *class);
io_name service_name(const struct service *service);
// Which has to be one.
struct service *service_of(io_name name);
