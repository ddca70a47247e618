// Abseil's checks, of which the sort of XLA uses those that only a debugging build looks at.

#ifndef QTENSOR_ABSL_CHECK_H_
#define QTENSOR_ABSL_CHECK_H_

#include <cstdlib>

namespace qtensor {
struct NoMessage {
  template <typename Part>
  const NoMessage& operator<<(const Part&) const {
    return *this;
  }
};
}  // namespace qtensor

#define CHECK(condition) \
  if (!(condition)) std::abort(); else ::qtensor::NoMessage()
#define CHECK_EQ(left, right) CHECK((left) == (right))
#define CHECK_LT(left, right) CHECK((left) < (right))
#define DCHECK(condition) \
  if (true || (condition)) {} else ::qtensor::NoMessage()
#define DCHECK_EQ(left, right) DCHECK((left) == (right))
#define DCHECK_LT(left, right) DCHECK((left) < (right))
#define DCHECK_LE(left, right) DCHECK((left) <= (right))
#define DCHECK_GE(left, right) DCHECK((left) >= (right))
#define DCHECK_GT(left, right) DCHECK((left) > (right))
#define DCHECK_NE(left, right) DCHECK((left) != (right))

#endif  // QTENSOR_ABSL_CHECK_H_
