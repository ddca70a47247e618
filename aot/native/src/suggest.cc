#include "suggest.h"

#include <map>
#include <string_view>

namespace qtensor {
namespace {

constexpr double kNear = 0.6;
constexpr size_t kLongest = 200;  // the time taken grows with the third power

// How many characters are in common blocks as difflib finds them: the longest one, then those left and right of it.
size_t matching(std::string_view a, std::string_view b) {
  size_t best = 0, best_a = 0, best_b = 0;
  std::vector<size_t> lengths(b.size() + 1, 0);  // of the block that ends at a[i], b[j - 1]
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = b.size(); j > 0; --j) lengths[j] = a[i] == b[j - 1] ? lengths[j - 1] + 1 : 0;
    for (size_t j = 1; j <= b.size(); ++j) {
      if (lengths[j] <= best) continue;
      best = lengths[j];
      best_a = i + 1 - best;
      best_b = j - best;
    }
  }
  if (best == 0) return 0;
  return best + matching(a.substr(0, best_a), b.substr(0, best_b)) + matching(a.substr(best_a + best), b.substr(best_b + best));
}

}  // namespace

std::string lower(std::string name) {
  for (char& letter : name) {
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter + 32);
  }
  return name;
}

std::string suggestion(const std::string& name, const std::vector<std::string>& known) {
  std::map<std::string, std::string> by_lower;
  for (const std::string& candidate : known) by_lower[lower(candidate)] = candidate;
  const std::string wanted = lower(name);
  const std::string* nearest = nullptr;
  double best = kNear;
  for (const auto& [candidate, written] : by_lower) {
    const size_t length = candidate.size() + wanted.size();
    if (length == 0 || candidate.size() > kLongest || wanted.size() > kLongest) continue;
    const double ratio = 2.0 * static_cast<double>(matching(candidate, wanted)) / static_cast<double>(length);
    if (ratio < best) continue;  // of equally near ones the last, as heapq.nlargest has it
    best = ratio;
    nearest = &written;
  }
  return nearest == nullptr ? "" : " Did you mean \"" + *nearest + "\"?";
}

}  // namespace qtensor
