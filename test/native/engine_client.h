// Clients of an engine under test: real sockets, non-blocking, driven by hand. Thread: the test's.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace gammaloop::test {

class Client {
 public:
  Client() = default;
  Client(Client&& other) noexcept { *this = std::move(other); }
  Client& operator=(Client&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(received, other.received);
    std::swap(ended, other.ended);
    std::swap(wasReset, other.wasReset);
    return *this;
  }
  ~Client() { close(); }

  // `bufferBytes` 0: the system's. Small ones make a slow reader.
  static Client tcp(uint16_t port, int bufferBytes = 0) {
    Client client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), bufferBytes);
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    ::setsockopt(client.fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return client.connect(reinterpret_cast<const sockaddr*>(&to), sizeof to);
  }

  // By Linux's abstract name: everything that is sent is there at once, which makes tests exact.
  static Client local(const std::string& name, int bufferBytes = 0) {
    Client client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), bufferBytes);
    sockaddr_un to = {};
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, name.data(), name.size());
    return client.connect(reinterpret_cast<const sockaddr*>(&to),
                          static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size()));
  }

  bool isOpen() const { return fd_ >= 0; }
  int fd() const { return fd_; }

  // Returns how much the kernel took.
  size_t send(std::string_view bytes) {
    const ssize_t sent = fd_ < 0 ? -1 : ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent < 0 ? 0 : static_cast<size_t>(sent);
  }
  void halfClose() {
    if (fd_ >= 0) ::shutdown(fd_, SHUT_WR);
  }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  // RST on TCP; on a local socket an end that takes what was unread with it.
  void reset() {
    if (fd_ < 0) return;
    const linger option = {1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &option, sizeof option);
    close();
  }
  // Reads up to `limit` bytes of what is there; returns how many.
  size_t read(size_t limit = SIZE_MAX) {
    size_t total = 0;
    char buffer[16 * 1024];
    while (fd_ >= 0 && !ended && total < limit) {
      const ssize_t count = ::recv(fd_, buffer, std::min(sizeof buffer, limit - total), 0);
      if (count > 0) {
        received.append(buffer, static_cast<size_t>(count));
        total += static_cast<size_t>(count);
        continue;
      }
      if (count < 0 && (errno == EAGAIN || errno == EINTR)) break;
      ended = true;
      wasReset = count < 0;
    }
    return total;
  }

  std::string received;
  bool ended = false;     // FIN or RST has come
  bool wasReset = false;  // it was RST

 private:
  Client(int fd, int bufferBytes) : fd_(fd) {
    if (bufferBytes == 0) return;
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bufferBytes, sizeof bufferBytes);
  }
  Client connect(const sockaddr* to, socklen_t size) {
    if (::connect(fd_, to, size) != 0) close();
    if (fd_ >= 0) ::fcntl(fd_, F_SETFL, ::fcntl(fd_, F_GETFL) | O_NONBLOCK);
    return std::move(*this);
  }

  int fd_ = -1;
};

// Number of open descriptors of this process.
inline int openDescriptors() {
  int count = 0;
  for (int fd = 0; fd < 256; fd++) count += ::fcntl(fd, F_GETFD) >= 0;
  return count;
}

}  // namespace gammaloop::test
