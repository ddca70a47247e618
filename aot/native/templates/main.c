/* Runs the query over Arrow IPC files and prints its rows: @NAME@_main FILE... */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "@NAME@.h"

static int is_null(const struct ArrowArray* column, int64_t row) {
  const uint8_t* valid = column->buffers[0];
  row += column->offset;
  return valid != NULL && !(valid[row / 8] >> (row % 8) & 1);
}

/* Days since 1970-01-01 as a date: the civil calendar, whose years begin in March. */
static void print_date(int64_t days) {
  int64_t shifted = days + 719468;
  int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  int64_t day_of_era = shifted - era * 146097;
  int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t month = (5 * day_of_year + 2) / 153;
  int64_t day = day_of_year - (153 * month + 2) / 5 + 1;
  month = month < 10 ? month + 3 : month - 9;
  printf("%04" PRId64 "-%02" PRId64 "-%02" PRId64, year_of_era + era * 400 + (month <= 2), month, day);
}

/* A decimal of 128 bits, least significant word first, with `scale` digits after the point. */
static void print_decimal(const uint64_t* words, int scale) {
  unsigned __int128 value = (unsigned __int128)words[1] << 64 | words[0];
  char digits[48];
  int position = (int)sizeof digits, count = 0;
  if (words[1] >> 63) {
    putchar('-');
    value = -value;
  }
  digits[--position] = 0;
  while (value != 0 || count <= scale) {
    if (count == scale && scale > 0) digits[--position] = '.';
    digits[--position] = (char)('0' + (int)(value % 10));
    value /= 10;
    ++count;
  }
  fputs(digits + position, stdout);
}

static void print_value(const struct ArrowSchema* schema, const struct ArrowArray* column, int64_t row) {
  const char* format = schema->format;
  const void* data = column->n_buffers > 1 ? column->buffers[1] : NULL;
  int64_t at = row + column->offset;
  if (strcmp(format, "n") == 0 || is_null(column, row)) {
    fputs("NULL", stdout);
  } else if (strcmp(format, "b") == 0) {
    fputs(((const uint8_t*)data)[at / 8] >> (at % 8) & 1 ? "true" : "false", stdout);
  } else if (strcmp(format, "c") == 0) {
    printf("%" PRId8, ((const int8_t*)data)[at]);
  } else if (strcmp(format, "C") == 0) {
    printf("%" PRIu8, ((const uint8_t*)data)[at]);
  } else if (strcmp(format, "s") == 0) {
    printf("%" PRId16, ((const int16_t*)data)[at]);
  } else if (strcmp(format, "S") == 0) {
    printf("%" PRIu16, ((const uint16_t*)data)[at]);
  } else if (strcmp(format, "i") == 0) {
    printf("%" PRId32, ((const int32_t*)data)[at]);
  } else if (strcmp(format, "I") == 0) {
    printf("%" PRIu32, ((const uint32_t*)data)[at]);
  } else if (strcmp(format, "l") == 0) {
    printf("%" PRId64, ((const int64_t*)data)[at]);
  } else if (strcmp(format, "L") == 0) {
    printf("%" PRIu64, ((const uint64_t*)data)[at]);
  } else if (strcmp(format, "f") == 0) {
    printf("%.9g", (double)((const float*)data)[at]);
  } else if (strcmp(format, "g") == 0) {
    printf("%.17g", ((const double*)data)[at]);
  } else if (strcmp(format, "tdD") == 0) {
    print_date(((const int32_t*)data)[at]);
  } else if (strncmp(format, "ts", 2) == 0) {
    int64_t instant = ((const int64_t*)data)[at], day = 86400000000;
    int64_t days = instant / day - (instant % day < 0), rest = instant - days * day;
    print_date(days);
    printf(" %02" PRId64 ":%02" PRId64 ":%02" PRId64 ".%06" PRId64, rest / 3600000000, rest / 60000000 % 60, rest / 1000000 % 60,
           rest % 1000000);
  } else if (strcmp(format, "u") == 0) {
    const int32_t* offsets = data;
    fwrite((const char*)column->buffers[2] + offsets[at], 1, (size_t)(offsets[at + 1] - offsets[at]), stdout);
  } else if (strcmp(format, "U") == 0) {
    const int64_t* offsets = data;
    fwrite((const char*)column->buffers[2] + offsets[at], 1, (size_t)(offsets[at + 1] - offsets[at]), stdout);
  } else if (strncmp(format, "d:", 2) == 0) {
    const char* comma = strchr(format, ',');
    print_decimal((const uint64_t*)data + 2 * at, comma == NULL ? 0 : atoi(comma + 1));
  } else if (strncmp(format, "+w:", 3) == 0) {
    int64_t size = atoll(format + 3);
    for (int64_t i = 0; i < size; ++i) {
      putchar(i == 0 ? '[' : ' ');
      print_value(schema->children[0], column->children[0], at * size + i);
    }
    putchar(']');
  } else {
    printf("<%s>", format);
  }
}

static void print_rows(const struct ArrowSchema* schema, const struct ArrowArray* rows) {
  for (int64_t i = 0; i < schema->n_children; ++i) printf("%s%s", i == 0 ? "" : "\t", schema->children[i]->name);
  putchar('\n');
  for (int64_t row = 0; row < rows->length; ++row) {
    for (int64_t i = 0; i < schema->n_children; ++i) {
      if (i != 0) putchar('\t');
      print_value(schema->children[i], rows->children[i], row + rows->offset);
    }
    putchar('\n');
  }
}

int main(int argc, char** argv) {
  struct ArrowSchema schema;
  struct ArrowArray rows;
  int failed = 0;
  struct @NAME@_state* state = @NAME@_open(0);
  if (state == NULL) {
    fputs("no memory\n", stderr);
    return 1;
  }
  if (argc < 2@NO_TABLE@) {
    fprintf(stderr, "usage: %s FILE...   (Arrow IPC files or streams)\n", argv[0]);
    failed = 2;
  }
  for (int i = 1; i < argc && !failed; ++i) failed = @NAME@_step_file(state, argv[i]) != 0;
  if (failed == 0) failed = @NAME@_finish(state, &schema, &rows) != 0;
  if (failed == 0) {
    print_rows(&schema, &rows);
    schema.release(&schema);
    rows.release(&rows);
  } else if (failed == 1) {
    fprintf(stderr, "%s\n", @NAME@_error(state));
  }
  @NAME@_close(state);
  return failed;
}
