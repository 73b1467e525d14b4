#ifndef HARNESS_IODMACOMMAND_H
#define HARNESS_IODMACOMMAND_H

#include <libkern/c++/OSObject.h>

class IODMACommand : public OSObject {
    OSDeclareDefaultStructors(IODMACommand);

public:
    struct Segment64 {
        UInt64 fIOVMAddr, fLength;
    };
    typedef bool (*SegmentFunction)(IODMACommand *target, Segment64 segment, void *segments, UInt32 index);
    enum MappingOptions { kMapped = 0 };
    static bool OutputHost64(IODMACommand *target, Segment64 segment, void *segments, UInt32 index);
    virtual bool initWithSpecification(SegmentFunction out, UInt8 addressBits, UInt64 maxSegmentSize,
        MappingOptions mapping = kMapped, UInt64 maxTransferSize = 0, UInt32 alignment = 1);
};

#define kIODMACommandOutputHost64 (IODMACommand::OutputHost64)

#endif
