// InboxWrap: an Inbox as JavaScript has it: messages from other threads to this environment, whose loop is woken.
//
// Teardown: close(), or the end of the environment. Owns both the inbox and its doorbell. Thread: the environment's.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/runner_wrap.h"
#include "base/inbox.h"

namespace gammaloop {

class InboxWrap final : public Napi::ObjectWrap<InboxWrap>, private RunnerEnd {
 public:
  static Napi::Function define(Napi::Env env);
  // (id, message: Uint8Array) to whether there is such an inbox. Any thread.
  static Napi::Value post(const Napi::CallbackInfo& info);
  // new Inbox(onRing: () => void)
  explicit InboxWrap(const Napi::CallbackInfo& info);
  ~InboxWrap() override;

 private:
  Napi::Value id(const Napi::CallbackInfo& info);
  Napi::Value takeAll(const Napi::CallbackInfo& info);
  void setReferenced(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  void closing() override;

  std::unique_ptr<Inbox> inbox_;
};

}  // namespace gammaloop
