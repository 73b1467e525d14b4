#ifndef HARNESS_IOMEMORYDESCRIPTOR_H
#define HARNESS_IOMEMORYDESCRIPTOR_H

#include <libkern/c++/OSObject.h>

/// Memory in several pieces. In the harness these are of odd lengths, and bytes beyond the end are an error.
class IOMemoryDescriptor : public OSObject {
    OSDeclareDefaultStructors(IOMemoryDescriptor);

public:
    virtual IOByteCount getLength() const;
    virtual IOByteCount readBytes(IOByteCount offset, void *bytes, IOByteCount length);
    virtual IOByteCount writeBytes(IOByteCount offset, const void *bytes, IOByteCount length);
    virtual IOReturn prepare(IODirection direction = 0);
    virtual IOReturn complete(IODirection direction = 0);
    void free() override;

    /// The harness's: zeroed memory of that length, prepared, in pieces.
    static IOMemoryDescriptor *harnessMake(size_t length, bool prepared);

private:
    struct Piece;
    bool move(IOByteCount offset, uint8_t *bytes, IOByteCount length, bool out);
    Piece *pieces;
    size_t length;
    int prepared;
};

#endif
