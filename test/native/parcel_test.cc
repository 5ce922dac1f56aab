#include "runner/parcel.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "test.h"

using namespace gammaloop;

namespace {

std::string textOf(const JobParcels& parcels, const ParcelPart& part) {
  return {reinterpret_cast<const char*>(parcels.bytesOf(part)), part.size};
}

}  // namespace

TEST("parcel: copies and lends input in order") {
  std::string copied = "copied";
  std::string lent = "lent to it";
  JobParcels parcels;
  EXPECT(parcels.copyInput(copied.data(), copied.size()));
  parcels.lendInput(lent.data(), lent.size());
  copied = "......";
  EXPECT_EQ(parcels.input().size(), 2u);
  EXPECT_EQ(textOf(parcels, parcels.input()[0]), "copied");
  EXPECT_EQ(textOf(parcels, parcels.input()[1]), "lent to it");
  EXPECT(parcels.bytesOf(parcels.input()[1]) == reinterpret_cast<uint8_t*>(lent.data()));
}

TEST("parcel: writes output once into what was lent in its size") {
  std::string first = "aaaa";
  std::string second = "bbbb";
  std::string other = "ccccc";
  JobParcels parcels;
  for (std::string* lent : {&first, &second, &other}) parcels.lendInput(lent->data(), lent->size());
  parcels.clearInput();
  for (const char* text : {"1111", "2222", "3333"}) EXPECT(parcels.addOutput(text, 4));
  EXPECT_EQ(first, "1111");
  EXPECT_EQ(second, "2222");
  EXPECT_EQ(other, "ccccc");
  EXPECT_EQ(parcels.output()[0].lent, 0u);
  EXPECT_EQ(parcels.output()[1].lent, 1u);
  EXPECT_EQ(parcels.output()[2].lent, kNotLent);
  EXPECT_EQ(textOf(parcels, parcels.output()[2]), "3333");
}

TEST("parcel: output that is replaced leaves its room") {
  std::string lent = "aaaa";
  JobParcels parcels;
  parcels.lendInput(lent.data(), lent.size());
  EXPECT(parcels.addOutput("1111", 4));
  parcels.clearOutput();
  EXPECT(parcels.addOutput("2222", 4));
  EXPECT_EQ(parcels.output().size(), 1u);
  EXPECT_EQ(parcels.output()[0].lent, 0u);
  EXPECT_EQ(lent, "2222");
}

TEST("parcel: that is cleared never touches what was lent again") {
  std::string lent = "aaaa";
  JobParcels parcels;
  parcels.lendInput(lent.data(), lent.size());
  parcels.clear();
  EXPECT(parcels.input().empty());
  EXPECT(parcels.addOutput("1111", 4));
  EXPECT_EQ(parcels.output()[0].lent, kNotLent);
  EXPECT_EQ(lent, "aaaa");
}

TEST("parcel: parts of no bytes") {
  JobParcels parcels;
  EXPECT(parcels.copyInput(nullptr, 0));
  parcels.lendInput(nullptr, 0);
  EXPECT(parcels.addOutput(nullptr, 0));
  EXPECT_EQ(parcels.input().size(), 2u);
  EXPECT_EQ(parcels.output()[0].size, 0u);
}

TEST("parcel: what is on loan comes back as it is, and takes nothing else") {
  std::string first = "aaaa";
  std::string second = "bbbb";
  JobParcels parcels;
  for (std::string* lent : {&first, &second}) parcels.lendInput(lent->data(), lent->size());
  const auto loan = std::make_shared<Loan>();
  parcels.show(parcels.input()[0], loan);
  parcels.clearInput();
  EXPECT(parcels.addOutput("1111", 4));        // into the second
  EXPECT(parcels.addOutput("2222", 4, true));  // a buffer of the task's own
  EXPECT(parcels.addOutput(first.data(), 4));  // not as a whole: a view that the task keeps
  uint32_t kept = 0;
  parcels.forEachKept([&](uint32_t index, const std::shared_ptr<Loan>& it) { kept += index == 0 && it == loan; });
  EXPECT_EQ(kept, 1u);
  EXPECT(parcels.addOutput(first.data(), 4, true));
  parcels.forEachKept([&](uint32_t, const std::shared_ptr<Loan>&) { kept++; });
  EXPECT_EQ(kept, 1u);
  EXPECT_EQ(first, "aaaa");
  EXPECT_EQ(second, "1111");
  const uint32_t lents[] = {1, kNotLent, kNotLent, 0};
  for (uint32_t i = 0; i < 4; i++) EXPECT_EQ(parcels.output()[i].lent, lents[i]);
}

TEST("loan: whoever comes first, the caller who keeps the memory or its end") {
  Loan kept;
  EXPECT(kept.keep());
  EXPECT(!kept.isOver());
  EXPECT(kept.end());
  EXPECT(kept.isOver());
  Loan ended;
  EXPECT(!ended.end());
  EXPECT(!ended.keep());
}

// Under the thread sanitizer: the memory of a loan is plain, and passes from the worker to the caller by it alone.
TEST("loan: whoever frees the memory comes after who used it") {
  for (int round = 0; round < 2000; round++) {
    auto memory = std::make_unique<std::string>("aaaa");
    Loan loan;
    std::atomic<bool> isTold{false};
    std::thread worker([&] {
      memory->assign("bbbb");
      if (loan.end()) isTold = true;
    });
    const bool isKept = loan.keep();
    while (!loan.isOver()) std::this_thread::yield();
    EXPECT_EQ(*memory, "bbbb");
    memory.reset();
    worker.join();
    EXPECT_EQ(isTold.load(), isKept);
  }
}
