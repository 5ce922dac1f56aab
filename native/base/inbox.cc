#include "base/inbox.h"

#include <cstring>
#include <unordered_map>
#include <utility>

namespace gammaloop {

// All inboxes of the process.
struct Inbox::Directory {
  std::mutex mutex;
  std::unordered_map<uint32_t, std::shared_ptr<Mailbox>> byId;
  uint32_t lastId = 0;

  static Directory& get() {
    static auto* directory = new Directory();  // outlives every thread
    return *directory;
  }
};

Inbox::Inbox(std::shared_ptr<Doorbell> doorbell) {
  mailbox_->doorbell = std::move(doorbell);
  Directory& directory = Directory::get();
  const std::lock_guard lock(directory.mutex);
  do {
    id_ = ++directory.lastId;
  } while (id_ == 0 || directory.byId.contains(id_));
  directory.byId.emplace(id_, mailbox_);
}

bool Inbox::post(uint32_t id, std::span<const uint8_t> message) {
  std::shared_ptr<Mailbox> mailbox;
  {
    Directory& directory = Directory::get();
    const std::lock_guard lock(directory.mutex);
    const auto found = directory.byId.find(id);
    if (found == directory.byId.end()) return false;
    mailbox = found->second;
  }
  const std::lock_guard lock(mailbox->mutex);
  if (mailbox->doorbell == nullptr) return false;
  std::vector<uint8_t>& messages = mailbox->messages;
  const bool wasEmpty = messages.empty();
  const auto size = static_cast<uint32_t>(message.size());
  const auto* head = reinterpret_cast<const uint8_t*>(&size);
  messages.insert(messages.end(), head, head + sizeof size);
  messages.insert(messages.end(), message.begin(), message.end());
  if (wasEmpty) mailbox->doorbell->ring();
  return true;
}

std::vector<uint8_t> Inbox::takeAll() {
  const std::lock_guard lock(mailbox_->mutex);
  return std::exchange(mailbox_->messages, {});
}

void Inbox::close() {
  {
    Directory& directory = Directory::get();
    const std::lock_guard lock(directory.mutex);
    directory.byId.erase(id_);
  }
  const std::lock_guard lock(mailbox_->mutex);
  mailbox_->doorbell.reset();
  mailbox_->messages.clear();
}

}  // namespace gammaloop
