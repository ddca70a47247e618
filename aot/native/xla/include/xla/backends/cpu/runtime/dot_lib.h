// Matrix products as the generated code calls them. TensorFlow's own header brings Eigen's tensors and threads along, and
// takes a minute to compile; a query's threads run whole programs, so that a product runs in the thread that calls it.

#ifndef QTENSOR_XLA_DOT_LIB_H_
#define QTENSOR_XLA_DOT_LIB_H_

#include <cstdint>

namespace Eigen {
struct ThreadPoolDevice;
struct half;
}

namespace xla::cpu::internal {

// out[m, n] = lhs[m, k] * rhs[k, n], all by columns; a transposed operand is stored as its transpose.
template <typename T>
void Multiply(T* out, const T* lhs, const T* rhs, int64_t m, int64_t n, int64_t k, bool transpose_lhs, bool transpose_rhs);

template <typename Lhs, typename Rhs, typename Out, typename Done>
void TypedMatMul(const Eigen::ThreadPoolDevice*, void* out, void* lhs, void* rhs, int64_t m, int64_t n, int64_t k,
                 bool transpose_lhs, bool transpose_rhs, Done done) {
  Multiply<Out>(static_cast<Out*>(out), static_cast<const Lhs*>(lhs), static_cast<const Rhs*>(rhs), m, n, k, transpose_lhs,
                transpose_rhs);
  done();
}

extern template void Multiply<float>(float*, const float*, const float*, int64_t, int64_t, int64_t, bool, bool);
extern template void Multiply<double>(double*, const double*, const double*, int64_t, int64_t, int64_t, bool, bool);
extern template void Multiply<int32_t>(int32_t*, const int32_t*, const int32_t*, int64_t, int64_t, int64_t, bool, bool);

}  // namespace xla::cpu::internal

#endif  // QTENSOR_XLA_DOT_LIB_H_
