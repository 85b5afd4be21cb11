// Where the elements of a matrix lie that Hopper's products read from shared memory, as the PTX ISA defines it ("Matrix
// Descriptor Format", "Strides", "Canonical Layouts"), for elements of 16 bits and the 128-byte swizzle.
#pragma once

#include <cstdint>

namespace manual {

/// The fields of a descriptor, in bytes.
struct Matrix {
    uint64_t bits;

    uint32_t start() const { return (bits & 0x3fff) << 4; }
    uint32_t leading() const { return (bits >> 16 & 0x3fff) << 4; }
    uint32_t stride() const { return (bits >> 32 & 0x3fff) << 4; }
    uint32_t base_offset() const { return bits >> 49 & 7; }
    uint32_t swizzle() const { return bits >> 62; }
    /// Whether it is one of those that are understood here; bits 14-15, 30-31, 46-48 and 52-61 are none's.
    bool known() const { return swizzle() == 1 && base_offset() == 0 && (bits & 0x3ff1c000c000c000) == 0; }

    /// The address of the element (i, k), where k counts along the depth of the product. K-major, with T = 8 elements:
    /// ((8,m),(T,2k)):((8T,SBO),(1,T)). MN-major: ((T,8,m),(8,k)):((1,T,LBO),(8T,SBO)). Then bits 4-6 of the address are
    /// changed by bits 7-9.
    uint32_t address(bool depth_first, int i, int k) const {
        const uint32_t offset = depth_first ? i % 8 * 128 + i / 8 * stride() + 2 * k
                                            : i % 64 * 2 + i / 64 * leading() + k % 8 * 128 + k / 8 * stride();
        const uint32_t at = start() + offset;
        return at ^ (at >> 7 & 7) << 4;
    }
};

}  // namespace manual
