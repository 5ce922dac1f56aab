#include "http/chunked_decoder.h"

#include <algorithm>

#include "http/http1_syntax.h"

namespace gammaloop {

namespace {

using namespace syntax;

constexpr int kMaxSizeDigits = 16;

int hexValue(uint8_t byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  const uint8_t letter = byte | 0x20;
  return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

}  // namespace

void ChunkedDecoder::reset() {
  remaining_ = 0;
  overhead_ = chunkOverhead_ = 0;
  digits_ = 0;
  tokenEmpty_ = true;
  state_ = State::Size;
  error_ = HttpError::None;
  trailers_.clear();
}

ChunkedDecoder::Step ChunkedDecoder::decode(std::span<const uint8_t> input) {
  size_t at = 0;
  if (state_ == State::Done) return {Status::Done, 0, {}, HttpError::None};
  if (state_ == State::Failed) return {Status::Error, 0, {}, error_};
  while (at < input.size()) {
    const uint8_t byte = input[at];
    HttpError error = HttpError::None;
    switch (state_) {
      case State::Size:
      case State::SizeDigits:
        error = takeSizeByte(byte);
        break;
      case State::ExtensionName:
      case State::ExtensionValue:
      case State::Quoted:
      case State::QuotedPair:
      case State::QuotedEnd:
        error = takeExtensionByte(byte);
        break;
      case State::SizeLf:
        if (byte != '\n') error = HttpError::InvalidChunkSize;
        state_ = remaining_ == 0 ? State::Trailers : State::Data;
        break;
      case State::Data: {
        const size_t length = static_cast<size_t>(std::min<uint64_t>(remaining_, input.size() - at));
        remaining_ -= length;
        if (remaining_ == 0) state_ = State::DataCr;
        return {Status::Data, at + length, input.subspan(at, length), HttpError::None};
      }
      case State::DataCr:
        if (byte != '\r') error = HttpError::InvalidChunkTerminator;
        state_ = State::DataLf;
        break;
      case State::DataLf:
        if (byte != '\n') error = HttpError::InvalidChunkTerminator;
        state_ = State::Size;
        digits_ = 0;
        chunkOverhead_ = 0;
        break;
      case State::Trailers:
        error = takeTrailerByte(byte);
        break;
      case State::Done:
      case State::Failed:
        break;
    }
    if (error != HttpError::None) return fail(error, at);
    at++;
    if (state_ == State::Done) return {Status::Done, at, {}, HttpError::None};
  }
  return {Status::NeedMore, at, {}, HttpError::None};
}

ChunkedDecoder::Step ChunkedDecoder::fail(HttpError error, size_t consumed) {
  state_ = State::Failed;
  error_ = error;
  return {Status::Error, consumed, {}, error};
}

HttpError ChunkedDecoder::takeSizeByte(uint8_t byte) {
  const int digit = hexValue(byte);
  if (digit >= 0) {
    if (digits_ == kMaxSizeDigits) return HttpError::InvalidChunkSize;
    const bool needless = digits_ > 0 && remaining_ == 0;  // the digit before this one was a leading zero
    remaining_ = digits_ == 0 ? static_cast<uint64_t>(digit) : remaining_ * 16 + static_cast<uint64_t>(digit);
    digits_++;
    state_ = State::SizeDigits;
    if (remaining_ > kMaxSafeInteger) return HttpError::InvalidChunkSize;
    return needless ? countOverhead() : HttpError::None;
  }
  if (digits_ == 0) return HttpError::InvalidChunkSize;
  if (byte == '\r') {
    state_ = State::SizeLf;
    return HttpError::None;
  }
  if (byte != ';') return HttpError::InvalidChunkSize;
  state_ = State::ExtensionName;
  tokenEmpty_ = true;
  return countOverhead();
}

// chunk-ext = *( ";" token [ "=" ( token / quoted-string ) ] ), without the "bad whitespace" that RFC 9112 7.1.1 lets a
// recipient take: node refuses it too.
HttpError ChunkedDecoder::takeExtensionByte(uint8_t byte) {
  const bool tokenDone =
      state_ == State::QuotedEnd || (!tokenEmpty_ && state_ != State::Quoted && state_ != State::QuotedPair);
  if (tokenDone && byte == '\r') {
    state_ = State::SizeLf;
    return HttpError::None;
  }
  if (const HttpError error = countOverhead(); error != HttpError::None) return error;
  if (tokenDone && byte == ';') {
    state_ = State::ExtensionName;
    tokenEmpty_ = true;
    return HttpError::None;
  }
  switch (state_) {
    case State::ExtensionName:
      if (byte == '=' && !tokenEmpty_) {
        state_ = State::ExtensionValue;
        tokenEmpty_ = true;
        return HttpError::None;
      }
      break;
    case State::ExtensionValue:
      if (byte == '"' && tokenEmpty_) {
        state_ = State::Quoted;
        return HttpError::None;
      }
      break;
    case State::Quoted:
      if (byte == '"') {
        state_ = State::QuotedEnd;
        return HttpError::None;
      }
      if (byte == '\\') {
        state_ = State::QuotedPair;
        return HttpError::None;
      }
      return is(byte, kValue) ? HttpError::None : HttpError::InvalidChunkExtension;
    case State::QuotedPair:
      state_ = State::Quoted;
      return is(byte, kValue) ? HttpError::None : HttpError::InvalidChunkExtension;
    default:  // QuotedEnd: only ";" and CR may follow
      return HttpError::InvalidChunkExtension;
  }
  tokenEmpty_ = false;
  return is(byte, kTchar) ? HttpError::None : HttpError::InvalidChunkExtension;
}

// Only the line ends are checked here, to know the end of the section; parseTrailers reads the fields.
HttpError ChunkedDecoder::takeTrailerByte(uint8_t byte) {
  const bool afterCr = !trailers_.empty() && trailers_.back() == '\r';
  if (afterCr != (byte == '\n')) return HttpError::InvalidLineEnding;
  if (const HttpError error = countOverhead(); error != HttpError::None) return error;
  trailers_.push_back(static_cast<char>(byte));
  const size_t size = trailers_.size();
  if (byte == '\n' && (size == 2 || (size >= 4 && trailers_[size - 3] == '\n'))) state_ = State::Done;
  return HttpError::None;
}

HttpError ChunkedDecoder::countOverhead() {
  if (overhead_ == overheadLimit_ || chunkOverhead_ == chunkLimit_) return HttpError::ChunkOverheadExceeded;
  overhead_++;
  chunkOverhead_++;
  return HttpError::None;
}

}  // namespace gammaloop
