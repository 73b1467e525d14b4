// Memory descriptors, in pieces.

#include <IOKit/IOMemoryDescriptor.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "runtime.h"

OSDefineMetaClassAndStructors(IOMemoryDescriptor, OSObject)

struct IOMemoryDescriptor::Piece {
    struct One {
        size_t start;
        std::unique_ptr<uint8_t[]> bytes;
        size_t length;
    };
    std::vector<One> all;
};

IOMemoryDescriptor *IOMemoryDescriptor::harnessMake(size_t length, bool prepared)
{
    // Allocations that fail are for the sources under test.
    IOMemoryDescriptor *made = new IOMemoryDescriptor;
    made = made ? made : new IOMemoryDescriptor;
    made->pieces = new Piece;
    made->length = length;
    made->prepared = prepared ? 1 : 0;
    for (size_t at = 0; at < length;) {
        size_t most = harnessIsAwkward() ? 1 + harnessRandom(5000) : length;
        size_t piece = std::min(length - at, most);
        // Each is memory of its own, so that a byte too many is seen.
        made->pieces->all.push_back({at, std::unique_ptr<uint8_t[]>(new uint8_t[piece]()), piece});
        at += piece;
    }
    return made;
}

void IOMemoryDescriptor::free()
{
    delete pieces;
    OSObject::free();
}

IOByteCount IOMemoryDescriptor::getLength() const
{
    return length;
}

IOReturn IOMemoryDescriptor::prepare(IODirection)
{
    __atomic_fetch_add(&prepared, 1, __ATOMIC_RELAXED);
    return kIOReturnSuccess;
}

IOReturn IOMemoryDescriptor::complete(IODirection)
{
    int before = __atomic_fetch_sub(&prepared, 1, __ATOMIC_RELAXED);
    HARNESS_CHECK(before > 0, "memory is completed that was not prepared");
    return kIOReturnSuccess;
}

bool IOMemoryDescriptor::move(IOByteCount offset, uint8_t *bytes, IOByteCount count, bool out)
{
    HARNESS_CHECK(__atomic_load_n(&prepared, __ATOMIC_RELAXED) > 0, "memory is used that is not prepared");
    HARNESS_CHECK(offset <= length && count <= length - offset, "%llu bytes at %llu of %zu", count, offset, length);
    auto after = [](IOByteCount at, const Piece::One &piece) { return at < piece.start; };
    auto piece = std::upper_bound(pieces->all.begin(), pieces->all.end(), offset, after);
    while (count > 0) {
        const Piece::One &one = *(piece - 1);
        size_t from = offset - one.start, part = std::min<size_t>(count, one.length - from);
        if (out) {
            memcpy(bytes, one.bytes.get() + from, part);
        } else {
            memcpy(one.bytes.get() + from, bytes, part);
        }
        bytes += part;
        offset += part;
        count -= part;
        ++piece;
    }
    return true;
}

IOByteCount IOMemoryDescriptor::readBytes(IOByteCount offset, void *bytes, IOByteCount count)
{
    return move(offset, static_cast<uint8_t *>(bytes), count, true) ? count : 0;
}

IOByteCount IOMemoryDescriptor::writeBytes(IOByteCount offset, const void *bytes, IOByteCount count)
{
    return move(offset, const_cast<uint8_t *>(static_cast<const uint8_t *>(bytes)), count, false) ? count : 0;
}
