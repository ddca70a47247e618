#include "text.h"

#include <algorithm>
#include <new>
#include <numeric>

namespace qtensor {

namespace {

constexpr size_t kBlock = 1 << 16;

uint64_t word_at(const char* place) {
  uint64_t word;
  std::memcpy(&word, place, sizeof word);
  return word;
}

uint64_t mixed(uint64_t a, uint64_t b) {
  auto product = static_cast<unsigned __int128>(a ^ 0x9E3779B97F4A7C15) * (b ^ 0xE7037ED1A0B428DB);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint32_t hash_of(std::string_view text) {
  uint64_t hash = text.size();
  const char* place = text.data();
  size_t left = text.size();
  while (left > 16) {
    hash = mixed(hash ^ word_at(place), word_at(place + 8));
    place += 16;
    left -= 16;
  }
  if (left >= 8) {
    hash = mixed(hash ^ word_at(place), word_at(place + left - 8));
  } else {
    uint64_t word = 0;
    if (left != 0) std::memcpy(&word, place, left);
    hash = mixed(hash ^ word, left);
  }
  return static_cast<uint32_t>(hash ^ hash >> 32);
}

}  // namespace

int32_t Vocabulary::code(std::string_view text) {
  if (2 * (strings_.size() + 1) > entries_.size()) grow();
  uint32_t hash = hash_of(text);
  size_t mask = entries_.size() - 1;
  for (size_t slot = hash & mask;; slot = (slot + 1) & mask) {
    Entry& entry = entries_[slot];
    if (entry.code < 0) {
      if (strings_.size() >= INT32_MAX) throw std::bad_alloc();
      strings_.push_back(keep(text));
      entry = {hash, static_cast<int32_t>(strings_.size() - 1)};
      return entry.code;
    }
    if (entry.hash == hash && strings_[static_cast<size_t>(entry.code)] == text) return entry.code;
  }
}

void Vocabulary::grow() {
  std::vector<Entry> old(std::max<size_t>(64, 2 * entries_.size()), Entry{0, -1});
  old.swap(entries_);
  size_t mask = entries_.size() - 1;
  for (const Entry& entry : old) {
    if (entry.code < 0) continue;
    size_t slot = entry.hash & mask;
    while (entries_[slot].code >= 0) slot = (slot + 1) & mask;
    entries_[slot] = entry;
  }
}

std::string_view Vocabulary::keep(std::string_view text) {
  if (text.empty()) return {};
  if (text.size() > room_) {
    size_t size = std::max(text.size(), kBlock);
    blocks_.push_back(std::make_unique<char[]>(size));
    next_ = blocks_.back().get();
    room_ = size;
  }
  char* place = next_;
  std::memcpy(place, text.data(), text.size());
  next_ += text.size();
  room_ -= text.size();
  return {place, text.size()};
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char letter) { return static_cast<unsigned char>(letter) < 0x80; });
}

bool is_utf8(std::string_view text) {
  auto at = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  auto follows = [&](size_t i, unsigned low, unsigned high) { return at(i) >= low && at(i) <= high; };
  for (size_t i = 0; i < text.size();) {
    const unsigned first = at(i);
    if (first < 0x80) {
      ++i;
    } else if (first >= 0xC2 && first <= 0xDF && follows(i + 1, 0x80, 0xBF)) {
      i += 2;
    } else if (first >= 0xE0 && first <= 0xEF && follows(i + 1, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF) &&
               follows(i + 2, 0x80, 0xBF)) {
      i += 3;
    } else if (first >= 0xF0 && first <= 0xF4 && follows(i + 1, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF) &&
               follows(i + 2, 0x80, 0xBF) && follows(i + 3, 0x80, 0xBF)) {
      i += 4;
    } else {
      return false;
    }
  }
  return true;
}

Strings sorted(const Strings& strings, std::vector<int32_t>* ranks) {
  std::vector<int32_t> order(strings.size());
  std::iota(order.begin(), order.end(), 0);
  auto at = [&](int32_t code) { return strings[static_cast<size_t>(code)]; };
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return at(a) < at(b); });
  Strings result;
  result.reserve(strings.size());
  ranks->resize(strings.size());
  for (int32_t code : order) {
    (*ranks)[static_cast<size_t>(code)] = static_cast<int32_t>(result.size());
    result.push_back(at(code));
  }
  return result;
}

Strings sorted_distinct(Strings strings) {
  std::sort(strings.begin(), strings.end());
  strings.erase(std::unique(strings.begin(), strings.end()), strings.end());
  return strings;
}

int64_t code_of(const Strings& strings, std::string_view text) {
  auto found = std::lower_bound(strings.begin(), strings.end(), text);
  return found != strings.end() && *found == text ? found - strings.begin() : -1;
}

int64_t position_of(const Strings& strings, std::string_view text, bool inclusive) {
  auto found = inclusive ? std::upper_bound(strings.begin(), strings.end(), text)
                         : std::lower_bound(strings.begin(), strings.end(), text);
  return found - strings.begin();
}

namespace {

size_t code_point_bytes(std::string_view text) {
  auto first = static_cast<unsigned char>(text[0]);
  size_t bytes = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  return std::min(bytes, text.size());
}

char lower(char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter; }

}  // namespace

Pattern::Pattern(std::string_view pattern, std::string_view escape, bool ignore_case) : ignore_case_(ignore_case) {
  for (size_t i = 0; i < pattern.size();) {
    bool escaped = !escape.empty() && pattern.substr(i, escape.size()) == escape && i + escape.size() < pattern.size();
    if (escaped) i += escape.size();
    if (!escaped && pattern[i] == '%') {
      if (elements_.empty() || elements_.back().of != Element::Any) elements_.push_back({Element::Any, 0});
      ++i;
    } else if (!escaped && pattern[i] == '_') {
      elements_.push_back({Element::One, 0});
      ++i;
    } else {
      for (size_t end = i + code_point_bytes(pattern.substr(i)); i < end; ++i) {
        elements_.push_back({Element::Byte, ignore_case ? lower(pattern[i]) : pattern[i]});
      }
    }
  }
}

// How many bytes of `text` are one character of the pattern; 0 if they are another.
size_t Pattern::matched_bytes(char wanted, std::string_view text) const {
  if (text[0] == wanted) return 1;
  if (!ignore_case_) return 0;
  if (lower(text[0]) == wanted) return 1;
  if (wanted == 'k' && text.substr(0, 3) == "\u212A") return 3;  // the Kelvin sign
  if (wanted == 's' && text.substr(0, 2) == "\u017F") return 2;  // the long s
  return 0;
}

bool Pattern::matches(std::string_view text) const {
  // Greedy with one point to come back to: the last %, and how far the text had got there.
  size_t at = 0, next = 0, any = elements_.size(), any_at = 0, bytes = 0;
  while (at < text.size()) {
    if (next < elements_.size() && elements_[next].of == Element::Any) {
      any = next++;
      any_at = at;
    } else if (next < elements_.size() && elements_[next].of == Element::One) {
      at += code_point_bytes(text.substr(at));
      ++next;
    } else if (next < elements_.size() && (bytes = matched_bytes(elements_[next].byte, text.substr(at))) != 0) {
      at += bytes;
      ++next;
    } else if (any < elements_.size()) {
      any_at += code_point_bytes(text.substr(any_at));
      at = any_at;
      next = any + 1;
    } else {
      return false;
    }
  }
  while (next < elements_.size() && elements_[next].of == Element::Any) ++next;
  return next == elements_.size();
}

}  // namespace qtensor
