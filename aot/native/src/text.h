// Strings of a column: numbered in order of appearance while batches arrive, in sorted order once all are there.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace qtensor {

using Strings = std::vector<std::string_view>;

// Distinct strings, each with a code; owns their bytes.
class Vocabulary {
 public:
  // The code of a string, a new one if it has not been seen.
  int32_t code(std::string_view text);
  const Strings& strings() const { return strings_; }
  size_t size() const { return strings_.size(); }

 private:
  struct Entry {
    uint32_t hash;
    int32_t code;  // -1: free
  };

  std::string_view keep(std::string_view text);
  void grow();

  std::vector<Entry> entries_;  // a power of two of them, at most half in use
  Strings strings_;
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* next_ = nullptr;
  size_t room_ = 0;
};

// The strings in the order of their bytes, which is that of their code points; `ranks` gets the new code of each old one.
Strings sorted(const Strings& strings, std::vector<int32_t>* ranks);

// Sorted and without repetitions.
Strings sorted_distinct(Strings strings);

// The code of `text` in sorted strings, -1 if it is not there.
int64_t code_of(const Strings& strings, std::string_view text);

// How many sorted strings are less than `text`, or with `inclusive` equal to it.
int64_t position_of(const Strings& strings, std::string_view text, bool inclusive);

// A LIKE pattern: % stands for any characters, _ for one code point, `escape` makes the next one plain. With `ignore_case` ASCII
// letters match as RE2 has it, by simple folding, which gives k and s a third form each; other letters must not be in the pattern then.
class Pattern {
 public:
  Pattern(std::string_view pattern, std::string_view escape, bool ignore_case);
  bool matches(std::string_view text) const;

 private:
  struct Element {
    enum Of : uint8_t { Any, One, Byte } of;
    char byte;
  };
  size_t matched_bytes(char wanted, std::string_view text) const;

  std::vector<Element> elements_;
  bool ignore_case_;
};

bool is_ascii(std::string_view text);

// Whether a text is well-formed UTF-8.
bool is_utf8(std::string_view text);

// Whether one text matches a pattern.
inline bool like(std::string_view text, std::string_view pattern, std::string_view escape, bool ignore_case) {
  return Pattern(pattern, escape, ignore_case).matches(text);
}

}  // namespace qtensor
