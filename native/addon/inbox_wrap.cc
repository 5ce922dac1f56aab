#include "addon/inbox_wrap.h"

#include <cstring>

#include "addon/values.h"

namespace gammaloop {

Napi::Function InboxWrap::define(Napi::Env env) {
  return DefineClass(env, "Inbox",
                     {
                         InstanceMethod<&InboxWrap::id>("id"),
                         InstanceMethod<&InboxWrap::takeAll>("takeAll"),
                         InstanceMethod<&InboxWrap::setReferenced>("setReferenced"),
                         InstanceMethod<&InboxWrap::close>("close"),
                     });
}

Napi::Value InboxWrap::post(const Napi::CallbackInfo& info) {
  const auto bytes = info[1].As<Napi::Uint8Array>();
  return Napi::Boolean::New(info.Env(), Inbox::post(uint32Of(info[0]), {bytes.Data(), bytes.ByteLength()}));
}

InboxWrap::InboxWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<InboxWrap>(info) {
  if (IsEmpty()) return;  // nothing can be wrapped any more: the environment is being terminated
  if (!open(info.Env(), info[0].As<Napi::Function>())) return;
  inbox_ = std::make_unique<Inbox>(doorbell_);
  doorbell_->setReferenced(true);
  Ref();  // until it is closed: the doorbell calls back into it
}

InboxWrap::~InboxWrap() { RunnerEnd::close(); }

Napi::Value InboxWrap::id(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), inbox_ == nullptr ? 0 : inbox_->id());
}

// An ArrayBuffer: see Inbox::takeAll.
Napi::Value InboxWrap::takeAll(const Napi::CallbackInfo& info) {
  const std::vector<uint8_t> messages = inbox_ == nullptr ? std::vector<uint8_t>() : inbox_->takeAll();
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(info.Env(), messages.size());
  if (!messages.empty()) std::memcpy(buffer.Data(), messages.data(), messages.size());
  return buffer;
}

void InboxWrap::setReferenced(const Napi::CallbackInfo& info) {
  if (doorbell_ != nullptr) doorbell_->setReferenced(info[0].ToBoolean());
}

void InboxWrap::close(const Napi::CallbackInfo&) {
  if (inbox_ == nullptr) return;
  RunnerEnd::close();
  Unref();
}

void InboxWrap::closing() { inbox_.reset(); }

}  // namespace gammaloop
