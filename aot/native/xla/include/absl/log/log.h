#ifndef QTENSOR_ABSL_LOG_H_
#define QTENSOR_ABSL_LOG_H_

#include "absl/log/check.h"

#define LOG(severity) CHECK(false)

#endif  // QTENSOR_ABSL_LOG_H_
