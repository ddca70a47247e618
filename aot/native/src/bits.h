// Bitmaps of Arrow, least significant bit first, and bytes of 0 and 1.
#pragma once

#include <cstdint>
#include <cstring>

namespace qtensor {

inline bool bit(const uint8_t* bits, int64_t at) { return bits[at >> 3] >> (at & 7) & 1; }

// `count` bits from bit `offset` on, each as a byte.
inline void unpack(const uint8_t* bits, int64_t offset, int64_t count, uint8_t* bytes) {
  int64_t i = 0;
  for (; i < count && ((offset + i) & 7) != 0; ++i) bytes[i] = bit(bits, offset + i);
  for (; i + 8 <= count; i += 8) {
    // The eight bits, each moved to the lowest place of its own byte.
    uint64_t word = bits[(offset + i) >> 3] * UINT64_C(0x0101010101010101) & UINT64_C(0x8040201008040201);
    word = (word + UINT64_C(0x7F7F7F7F7F7F7F7F)) >> 7 & UINT64_C(0x0101010101010101);
    std::memcpy(bytes + i, &word, 8);
  }
  for (; i < count; ++i) bytes[i] = bit(bits, offset + i);
}

inline bool all_set(const uint8_t* bits, int64_t offset, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (!bit(bits, offset + i)) return false;
  }
  return true;
}

// Bytes of 0 and 1 as a bitmap; the last byte's other bits are 0.
inline void pack(const uint8_t* bytes, int64_t count, uint8_t* bits) {
  for (int64_t i = 0; i < count; i += 8) {
    uint8_t octet = 0;
    for (int64_t j = 0; j < 8 && i + j < count; ++j) octet |= static_cast<uint8_t>(bytes[i + j] << j);
    bits[i >> 3] = octet;
  }
}

}  // namespace qtensor
