#include "server/pipeline/model_runner.h"

#include <gtest/gtest.h>

#include <cstring>

#include "absl/synchronization/blocking_counter.h"
#include "tests/integration/fake_model.h"

namespace pixpool {
namespace {

class ModelRunnerTest : public ::testing::Test {
 protected:
  const LoadedModel& model() { return **fake_.registry.Get("", ""); }

  // A request of one picture, as the pipeline would have prepared it.
  std::shared_ptr<RequestWork> Work(TimeDuration left = std::chrono::seconds(60)) {
    auto work = std::make_shared<RequestWork>();
    work->result.model = *fake_.registry.Get("", "");
    work->request.context = std::make_shared<CallContext>(clock_.Now() + left);
    HeadSpec head;
    head.type = FindHeadType("global_avg");
    head.canonical = head.kind();
    work->result.heads = std::make_shared<const std::vector<HeadSpec>>(1, head);
    work->images = std::vector<ImageState>(1);
    work->images[0].features.input = {32, 32};
    return work;
  }

  ImageWork Picture(const std::shared_ptr<RequestWork>& work) {
    ImageWork image{.work = work, .index = 0, .input = Image(32, 32), .ready = clock_.Now()};
    std::memset(image.input.data(), 5, image.input.byte_size());
    return image;
  }

  Metrics metrics_;
  FakeRegistry fake_{&metrics_};
  FakeClock clock_;
  MemoryBudget memory_;
  std::atomic<int> preparing_ = 0;
};

TEST_F(ModelRunnerTest, FillsTheSlotAndItsTimes) {
  const auto work = Work();
  absl::BlockingCounter done(1);
  {
    ModelRunner runner(model(), {}, &preparing_, &memory_, &metrics_, &clock_,
                       [&done](const auto&) { done.DecrementCount(); });
    EXPECT_EQ(runner.thread_count(), 1);
    runner.Submit(Picture(work));
    done.Wait();
  }
  const ImageFeatures& slot = work->images[0].features;
  EXPECT_TRUE(slot.status.ok());
  const ImageWork same = Picture(work);
  EXPECT_EQ(slot.outputs[0].values,
            FakeModel::Expected(same.input, (*work->result.heads)[0]).values);
  EXPECT_EQ(slot.times[static_cast<size_t>(Stage::kBackbone)], std::chrono::milliseconds(2));
  EXPECT_EQ(slot.times[static_cast<size_t>(Stage::kHeads)], std::chrono::milliseconds(1));
}

TEST_F(ModelRunnerTest, DropsWhatIsOverBeforeTheBackbone) {
  const auto expired = Work(-std::chrono::seconds(1));
  const auto cancelled = Work();
  cancelled->request.context->Cancel();
  absl::BlockingCounter done(2);
  {
    ModelRunner runner(model(), {}, &preparing_, &memory_, &metrics_, &clock_,
                       [&done](const auto&) { done.DecrementCount(); });
    runner.Submit(Picture(expired));
    runner.Submit(Picture(cancelled));
    done.Wait();
  }
  EXPECT_TRUE(absl::IsDeadlineExceeded(expired->images[0].features.status));
  EXPECT_TRUE(absl::IsCancelled(cancelled->images[0].features.status));
  EXPECT_TRUE(fake_.model->batch_sizes().empty());
}

TEST_F(ModelRunnerTest, DestructionFinishesWhatWasSubmitted) {
  int completed = 0;
  {
    ModelRunner runner(model(), {}, &preparing_, &memory_, &metrics_, &clock_,
                       [&completed](const auto&) { ++completed; });
    for (int i = 0; i < 20; ++i) runner.Submit(Picture(Work()));
  }
  EXPECT_EQ(completed, 20);
}

TEST_F(ModelRunnerTest, PassesWaitForTheirMemoryWithoutAThread) {
  fake_.model->SetBytesPerPixel(1);
  memory_.SetCapacity(32 * 32);
  absl::BlockingCounter done(3);
  {
    ModelRunner runner(model(), {}, &preparing_, &memory_, &metrics_, &clock_,
                       [&done](const auto&) { done.DecrementCount(); });
    fake_.model->Hold();
    for (int i = 0; i < 3; ++i) runner.Submit(Picture(Work()));
    fake_.model->AwaitBatches(1);
    EXPECT_EQ(runner.waiting(), 2);
    EXPECT_EQ(memory_.usage().leased, 32 * 32);
    EXPECT_EQ(memory_.usage().waiting, 2);
    fake_.model->Release();
    done.Wait();
  }
  EXPECT_EQ(fake_.model->batch_sizes(), (std::vector<int>{1, 1, 1}));
  EXPECT_EQ(memory_.usage().leased, 0);
}

TEST_F(ModelRunnerTest, TheDestructorRunsWhatWaitsForMemory) {
  fake_.model->SetBytesPerPixel(1);
  memory_.SetCapacity(1);
  std::atomic<int> done = 0;
  {
    ModelRunner runner(model(), {}, &preparing_, &memory_, &metrics_, &clock_,
                       [&done](const ImageWork& image) {
                         if (image.slot().status.ok()) ++done;
                       });
    for (int i = 0; i < 5; ++i) runner.Submit(Picture(Work()));
  }
  EXPECT_EQ(done, 5);
}

}  // namespace
}  // namespace pixpool
