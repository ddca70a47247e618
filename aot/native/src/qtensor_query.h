// A compiled query as the engine sees it: one constant `qtensor::Query`, generated beside the programs, and read by nothing else.
// It mirrors lowering/ir/physical.py, lowering/ir/values.py and aot/artifact/manifest.py, where each part is explained.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qtensor {

enum class DType : uint8_t { Bool, Int8, Int16, Int32, Int64, Float32, Float64 };
enum class Kind : uint8_t { Null, Boolean, Integer, Decimal, Float, Date, Timestamp, Varchar, Array };

struct SqlType {
  Kind kind;
  int32_t bits;       // of Integer (8 to 128), Float and an Array's elements (32, 64)
  bool is_signed;     // of Integer
  int32_t precision;  // of Decimal
  int32_t scale;      // of Decimal
  int32_t length;     // of Array
  const char* text;   // as SQL writes it
};

// A column that the query reads, and what is assumed of it. `machine` is the type that programs take.
struct Column {
  const char* name;
  SqlType type;
  DType machine;
  bool nullable;
  bool has_range;  // of integers, decimals, dates, timestamps and codes of text
  int64_t low, high;
  bool may_be_nan;
  int64_t strings;  // how many different ones at most; -1 where the column is no text
};

// One compiled function. An instance has its own temporaries and is used by one thread at a time; results stay valid until its
// next run or its end. Arguments and results are 64-byte aligned.
struct Program {
  size_t argument_count;
  const size_t* argument_bytes;
  size_t result_count;
  const size_t* result_bytes;
  void* (*create)();
  void (*destroy)(void* instance);
  bool (*run)(void* instance, const void* const* arguments, const void** results);
};

struct Literal {
  SqlType type;
  bool null;
  int64_t integer;  // also Boolean, Decimal (unscaled), Date, Timestamp
  double real;
  const char* text;
  size_t text_bytes;
};

// Sorted distinct strings. Those of a column are known when its data is; a Static one is `texts`, sorted already.
struct Dictionary {
  enum Of : uint8_t { OfColumn, OfLiterals, OfUnion, Static } of;
  int32_t column;          // OfColumn: which of Query::columns
  const int32_t* members;  // OfLiterals: literals; OfUnion: dictionaries, which stand before this one
  size_t member_count;
  const char* const* texts;
  const size_t* text_bytes;
  size_t text_count;
};

struct Scalar {
  enum Of : uint8_t { Value, CodeOf, PositionOf } of;
  int32_t literal;
  int64_t factor;  // Value: the literal times this, brought into [low, high] if clamped
  bool clamped;
  int64_t low, high;
  int32_t dictionary;
  bool inclusive;
};

// A look-up table by code, of `size` elements; what lies beyond the dictionary is zero.
struct Table {
  enum Of : uint8_t { Like, Member, Remap, Static } of;
  int32_t dictionary;
  int32_t target;  // Remap: the dictionary whose codes the table gives
  int32_t pattern;
  int32_t escape;  // a literal, or -1
  bool ignore_case;
  const int32_t* literals;  // Member
  size_t literal_count;
  const void* content;  // Static: all `size` elements
  size_t size;
  DType dtype;
};

// Where a part of a result column is: a column of the last sink, or the data or validity of a source column; index -1: nowhere.
struct Slot {
  int32_t index;
  bool of_source;
  bool validity;
};

struct Output {
  const char* name;
  SqlType type;
  Slot data, valid, low;  // the value is data * 2^32 + low where there is a low part
  const Slot* elements;   // of Array
  size_t element_count;
  int32_t dictionary;  // of Varchar, else -1
};

// The query for tables of a certain size; see aot/artifact/manifest.py. Whole: at most `rows` rows at once. ByRows, ByState: blocks.
struct Form {
  enum Of : uint8_t { Whole, ByRows, ByState } of;
  int64_t rows, chunk;
  const Program *whole, *start, *step, *merge, *finish;
  const Literal* literals;
  size_t literal_count;
  const Dictionary* dictionaries;
  size_t dictionary_count;
  const Scalar* scalars;
  size_t scalar_count;
  const int32_t* float_scalars;  // literals
  size_t float_scalar_count;
  const Table* tables;
  size_t table_count;
  const char* const* checks;
  size_t check_count;
  const DType* sink_types;  // of the columns of `whole` and `finish`, after which come live and flags
  size_t sink_count;
  const Output* outputs;
  size_t output_count;
};

struct Weight {
  const void* content;
  size_t bytes;
};

struct Query {
  const char* name;
  const char* sql;
  const char* table;
  const Column* columns;
  size_t column_count;
  const Form* forms;  // the smallest first
  size_t form_count;
  const Weight* weights;
  size_t weight_count;
};

}  // namespace qtensor

// Defined by the generated source of each library.
extern const qtensor::Query qtensor_query;
