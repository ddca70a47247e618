#ifndef QTENSOR_TENSORFLOW_TYPES_H_
#define QTENSOR_TENSORFLOW_TYPES_H_

#include <cstdint>

#include "absl/base/dynamic_annotations.h"
#include "absl/base/optimization.h"

namespace tensorflow {
using int32 = std::int32_t;
}

#endif  // QTENSOR_TENSORFLOW_TYPES_H_
