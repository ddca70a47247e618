// The name that was probably meant.
#pragma once

#include <string>
#include <vector>

namespace qtensor {

// ` Did you mean "x"?` for the known name that is nearest to `name`, "" when none is near (qtensor/errors.py, by difflib's ratio).
std::string suggestion(const std::string& name, const std::vector<std::string>& known);

// ASCII letters in lower case.
std::string lower(std::string name);

}  // namespace qtensor
