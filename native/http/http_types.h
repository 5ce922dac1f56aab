// HTTP/1 vocabulary shared by the parser, the decoder and the session. Bytes in, numbers out; no I/O.
#pragma once

#include <cstdint>
#include <string_view>

namespace gammaloop {

// The methods that node's parser accepts, in the order of records.ts; anything else is answered 400, as node does.
enum class Method : uint8_t {
  DELETE_, GET, HEAD, POST, PUT, CONNECT, OPTIONS, TRACE, COPY, LOCK, MKCOL, MOVE, PROPFIND, PROPPATCH, SEARCH, UNLOCK,
  BIND, REBIND, UNBIND, ACL, REPORT, MKACTIVITY, CHECKOUT, MERGE, MSEARCH, NOTIFY, SUBSCRIBE, UNSUBSCRIBE, PATCH, PURGE,
  MKCALENDAR, LINK, UNLINK, SOURCE, QUERY,
};
inline constexpr int kMethodCount = 35;

// Header names that travel as one byte. 0: not in the table. Order equals kHeaderNames here and HEADER_NAMES in records.ts.
enum class HeaderId : uint8_t {
  Unknown = 0, Accept, AcceptCharset, AcceptEncoding, AcceptLanguage, Authorization, CacheControl, Connection, ContentEncoding,
  ContentLength, ContentType, Cookie, Date, Dnt, Expect, Forwarded, From, Host, IfMatch, IfModifiedSince, IfNoneMatch,
  IfRange, IfUnmodifiedSince, KeepAlive, MaxForwards, Origin, Pragma, ProxyAuthorization, ProxyConnection, Range, Referer,
  SecChUa, SecChUaMobile, SecChUaPlatform, SecFetchDest, SecFetchMode, SecFetchSite, SecFetchUser, SecWebSocketExtensions,
  SecWebSocketKey, SecWebSocketProtocol, SecWebSocketVersion, Te, Trailer, Transfer_Encoding, Traceparent, Tracestate, Upgrade,
  UpgradeInsecureRequests, UserAgent, Via, XForwardedFor, XForwardedHost, XForwardedProto, XRequestId, XRequestedWith,
  Count,
};

// Why bytes were refused. The answer each gets is in statusOf(); the stable name (for errors and stats) in nameOf().
enum class HttpError : uint8_t {
  None = 0,
  InvalidMethod, InvalidTarget, InvalidVersion, UnsupportedVersion, InvalidLineEnding, InvalidHeaderName, InvalidHeaderValue,
  ObsoleteFolding, MissingHost, DuplicateHost, InvalidHost, InvalidContentLength, DuplicateContentLength,
  ContentLengthWithTransferEncoding, InvalidTransferEncoding, TransferEncodingInHttp10, InvalidExpectation,
  HeaderBytesExceeded, HeaderCountExceeded, BodyTooLarge, InvalidChunkSize, InvalidChunkTerminator, InvalidChunkExtension,
  ChunkOverheadExceeded, InvalidTrailer, ForbiddenTrailer, UnexpectedEnd,
  Count,
};
int statusOf(HttpError error);              // 400, 413, 417, 431, 505
std::string_view nameOf(HttpError error);   // "INVALID_CHUNK_SIZE"
std::string_view methodName(Method method);
std::string_view headerName(HeaderId id);   // lower case; "" for Unknown

}  // namespace gammaloop
