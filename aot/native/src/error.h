// What goes wrong inside the engine: thrown, caught where C begins, and told by `error`.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace qtensor {

// What the C functions return; 0 is success.
enum class Code : int { Misuse = 1, Data, Assumption, Execution, Capacity, Memory, File, Internal };

struct Error {
  Code code;
  std::string message;
};

[[noreturn]] inline void fail(Code code, std::string message) { throw Error{code, std::move(message)}; }

// 1234567 as "1,234,567".
inline std::string with_commas(int64_t number) {
  std::string digits = std::to_string(number);
  for (int at = static_cast<int>(digits.size()) - 3; at > (number < 0 ? 1 : 0); at -= 3) digits.insert(at, ",");
  return digits;
}

}  // namespace qtensor
