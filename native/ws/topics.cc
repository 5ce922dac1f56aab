#include "ws/topics.h"

#include <algorithm>
#include <cstring>

#include "ws/frame_codec.h"

namespace gammaloop {

class Topic {
 public:
  explicit Topic(std::string name) : name(std::move(name)) {}
  const std::string name;
  std::vector<Subscriber*> subscribers;
};

TopicTable::TopicTable() = default;
TopicTable::~TopicTable() = default;

void TopicTable::subscribe(Subscriber& subscriber, std::string_view name) {
  auto found = topics_.find(name);
  if (found == topics_.end()) {
    found = topics_.emplace(std::string(name), std::make_unique<Topic>(std::string(name))).first;
  }
  Topic* topic = found->second.get();
  const auto isTopic = [topic](const Subscriber::Place& place) { return place.topic == topic; };
  std::vector<Subscriber::Place>& places = subscriber.places_.get();
  if (std::any_of(places.begin(), places.end(), isTopic)) return;
  places.push_back({topic, topic->subscribers.size()});
  topic->subscribers.push_back(&subscriber);
}

void TopicTable::unsubscribe(Subscriber& subscriber, std::string_view name) {
  if (subscriber.places_.empty()) return;
  const std::vector<Subscriber::Place>& places = subscriber.places_.get();
  for (size_t place = 0; place < places.size(); place++) {
    if (places[place].topic->name == name) return leave(subscriber, place);
  }
}

void TopicTable::leaveAll(Subscriber& subscriber) {
  while (!subscriber.places_.empty()) leave(subscriber, subscriber.places_.get().size() - 1);
  std::replace(unsettled_.begin(), unsettled_.end(), &subscriber, static_cast<Subscriber*>(nullptr));
}

// The last one of the topic takes the place that becomes free.
void TopicTable::leave(Subscriber& subscriber, size_t place) {
  std::vector<Subscriber::Place>& places = subscriber.places_.get();
  const auto [topic, index] = places[place];
  places[place] = places.back();
  places.pop_back();
  Subscriber* moved = topic->subscribers.back();
  topic->subscribers[index] = moved;
  topic->subscribers.pop_back();
  for (Subscriber::Place& other : moved->places_.get()) {
    if (other.topic == topic) other.index = index;
  }
  if (topic->subscribers.empty()) topics_.erase(topics_.find(topic->name));
}

void TopicTable::publish(std::string_view name, const Publication& publication, const Subscriber* from) {
  const auto found = topics_.find(name);
  if (found == topics_.end()) return;
  for (Subscriber* subscriber : found->second->subscribers) {
    if (subscriber != from) subscriber->deliver(publication);
  }
  // These may close, and leave: not while the list above is being walked.
  for (size_t i = 0; i < unsettled_.size(); i++) {
    if (unsettled_[i] != nullptr) unsettled_[i]->settleDelivery();
  }
  unsettled_.clear();
}

size_t TopicTable::subscriberCount(std::string_view name) const {
  const auto found = topics_.find(name);
  return found == topics_.end() ? 0 : found->second->subscribers.size();
}

SharedFrame& Publication::frame(const DeflateOptions& options) const {
  const bool compressed = options.enabled && compress_ && bytes_.size() >= options.thresholdBytes;
  const uint8_t windowBits = compressed ? options.serverWindowBits : 0;
  for (const Variant& variant : variants_) {
    if (variant.windowBits == windowBits) return *variant.frame;
  }
  std::span<const uint8_t> payload = bytes_;
  MessageDeflater* deflater = compressed ? streams_.deflater(options) : nullptr;
  if (deflater != nullptr) {
    scratch_.clear();
    deflater->deflate(bytes_, true, scratch_);
    payload = scratch_;
  }
  SharedFrame& frame = build(payload, deflater != nullptr);
  variants_.push_back({windowBits, &frame});
  return frame;
}

SharedFrame& Publication::build(std::span<const uint8_t> payload, bool rsv1) const {
  Arena& arena = reactor_.arena();
  uint8_t* out = arena.reserve(kMaxSentHeadBytes + payload.size());
  size_t size = writeFrameHead(out, binary_ ? Opcode::Binary : Opcode::Text, true, rsv1, payload.size());
  if (!payload.empty()) std::memcpy(out + size, payload.data(), payload.size());
  size += payload.size();
  arena.advance(size);
  return reactor_.share({out, size});
}

}  // namespace gammaloop
