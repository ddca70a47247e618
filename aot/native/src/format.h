// Values as messages write them.
#pragma once

#include <cstdint>
#include <string>

#include "qtensor_query.h"

namespace qtensor {

// The text of CAST(value AS VARCHAR), the value being of a type that is an integer inside (qtensor/values/texts.py).
std::string format_value(int64_t value, const SqlType& type);

}  // namespace qtensor
