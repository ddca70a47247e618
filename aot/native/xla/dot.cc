// Matrix products by Eigen, of the sources in the TensorFlow wheel.

#include "xla/backends/cpu/runtime/dot_lib.h"

#include "Eigen/Core"

namespace xla::cpu::internal {
namespace {

template <typename T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;

// One kind of product only, for each kind takes seconds to compile.
template <typename T>
void Product(Eigen::Map<Matrix<T>> out, Eigen::Map<const Matrix<T>> lhs, Eigen::Map<const Matrix<T>> rhs) {
  out.noalias() = lhs * rhs;
}

template <typename T>
Matrix<T> Transposed(const T* data, int64_t rows, int64_t columns) {
  return Eigen::Map<const Matrix<T>>(data, rows, columns).transpose();
}

}  // namespace

template <typename T>
void Multiply(T* out, const T* lhs, const T* rhs, int64_t m, int64_t n, int64_t k, bool transpose_lhs, bool transpose_rhs) {
  Matrix<T> left, right;
  if (transpose_lhs) lhs = (left = Transposed(lhs, k, m)).data();
  if (transpose_rhs) rhs = (right = Transposed(rhs, n, k)).data();
  Product<T>({out, m, n}, {lhs, m, k}, {rhs, k, n});
}

// One type a build: each takes seconds, and most queries need one or none.
template void Multiply<QTENSOR_DOT>(QTENSOR_DOT*, const QTENSOR_DOT*, const QTENSOR_DOT*, int64_t, int64_t, int64_t, bool, bool);

}  // namespace xla::cpu::internal
