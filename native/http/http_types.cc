#include "http/http_types.h"

#include <array>
#include <cstddef>

#include "http/header_lookup.h"

namespace gammaloop {

namespace {

struct ErrorEntry {
  std::string_view name;
  int status;
};

// In the order of HttpError.
constexpr std::array<ErrorEntry, static_cast<size_t>(HttpError::Count)> kErrors = {{
    {"NONE", 200},
    {"INVALID_METHOD", 400},
    {"INVALID_TARGET", 400},
    {"INVALID_VERSION", 400},
    {"UNSUPPORTED_VERSION", 505},
    {"INVALID_LINE_ENDING", 400},
    {"INVALID_HEADER_NAME", 400},
    {"INVALID_HEADER_VALUE", 400},
    {"OBSOLETE_FOLDING", 400},
    {"MISSING_HOST", 400},
    {"DUPLICATE_HOST", 400},
    {"INVALID_HOST", 400},
    {"INVALID_CONTENT_LENGTH", 400},
    {"DUPLICATE_CONTENT_LENGTH", 400},
    {"CONTENT_LENGTH_WITH_TRANSFER_ENCODING", 400},
    {"INVALID_TRANSFER_ENCODING", 400},
    {"TRANSFER_ENCODING_IN_HTTP10", 400},
    {"INVALID_EXPECTATION", 417},
    {"HEADER_BYTES_EXCEEDED", 431},
    {"HEADER_COUNT_EXCEEDED", 431},
    {"BODY_TOO_LARGE", 413},
    {"INVALID_CHUNK_SIZE", 400},
    {"INVALID_CHUNK_TERMINATOR", 400},
    {"INVALID_CHUNK_EXTENSION", 400},
    {"CHUNK_OVERHEAD_EXCEEDED", 413},
    {"INVALID_TRAILER", 400},
    {"FORBIDDEN_TRAILER", 400},
    {"UNEXPECTED_END", 400},
    {"DATA_AFTER_CLOSE", 400},
}};

// A missing row would be value-initialised: an empty name for the last error.
static_assert(!kErrors.back().name.empty());

}  // namespace

int statusOf(HttpError error) { return kErrors[static_cast<size_t>(error)].status; }

std::string_view nameOf(HttpError error) { return kErrors[static_cast<size_t>(error)].name; }

std::string_view methodName(Method method) { return kMethodNames[static_cast<size_t>(method)]; }

std::string_view headerName(HeaderId id) { return kHeaderNames[static_cast<size_t>(id)]; }

}  // namespace gammaloop
