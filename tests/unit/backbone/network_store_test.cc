#include "server/backbone/network_store.h"

#include <gtest/gtest.h>

#include <memory>

namespace pixpool {
namespace {

const NetworkKey kUsual = {{3}, {1, 224, 224, 3}};
const NetworkKey kOpen = {{3}, {}};
const NetworkKey kOther = {{0, 1, 2, 3}, {}};
const NetworkKey kLarge = {{3}, {}, /*large=*/true};

using Store = NetworkStore<int>;

std::shared_ptr<int> Make() { return std::make_shared<int>(0); }

// A pass of an instance from its beginning to its end.
void Pass(Store& store, const NetworkKey& key, const NetworkUse& use) {
  store.Take(key, use, Make);
  store.Release(use.instance);
}

TEST(NetworkStore, ANetworkIsMadeOnce) {
  Store store(kUsual);
  const std::shared_ptr<int> first = store.Take(kOpen, {.instance = 0}, Make);
  EXPECT_EQ(store.Take(kOpen, {.instance = 1}, Make), first);
}

TEST(NetworkStore, HoldsTheLargestPassOfEachInstanceAndEachVariantOnce) {
  Store store(kUsual);
  Pass(store, kOpen, {.instance = 0, .variant = 0, .network_bytes = 20, .pass_bytes = 100});
  Pass(store, kOpen, {.instance = 0, .variant = 0, .network_bytes = 20, .pass_bytes = 60});
  EXPECT_EQ(store.held(), 120);
  Pass(store, kOpen, {.instance = 1, .variant = 0, .network_bytes = 20, .pass_bytes = 60});
  EXPECT_EQ(store.held(), 180);
  Pass(store, kOpen, {.instance = 1, .variant = 1, .network_bytes = 20, .pass_bytes = 5});
  EXPECT_EQ(store.held(), 205);
}

TEST(NetworkStore, ThePermanentOneCountsNothingAndStays) {
  Store store(kUsual);
  Pass(store, kUsual, {.network_bytes = 20, .pass_bytes = 100});
  EXPECT_EQ(store.held(), 0);
  EXPECT_TRUE(store.DropTo(0).empty());
  EXPECT_TRUE(store.DropAll().empty());
  for (int i = 0; i < 2 * Store::kAges; ++i) EXPECT_TRUE(store.Age().empty());
}

TEST(NetworkStore, TheLongestUnusedGoesFirstAndNoMoreThanIsWanted) {
  Store store(kUsual);
  Pass(store, kOpen, {.pass_bytes = 100});
  Pass(store, kOther, {.pass_bytes = 100});
  Pass(store, kLarge, {.pass_bytes = 800});
  Pass(store, kOpen, {.pass_bytes = 100});
  EXPECT_TRUE(store.DropTo(1000).empty());
  const Store::Dropped dropped = store.DropTo(900);
  ASSERT_EQ(dropped.size(), 1);
  EXPECT_EQ(dropped[0].first, kOther);
  EXPECT_EQ(store.held(), 900);
}

TEST(NetworkStore, WhatAnInstanceUsesStays) {
  Store store(kUsual);
  store.Take(kLarge, {.instance = 0, .pass_bytes = 800}, Make);
  EXPECT_TRUE(store.DropTo(0).empty());
  EXPECT_TRUE(store.DropAll().empty());
  // Taking another releases it too.
  store.Take(kOpen, {.instance = 0, .pass_bytes = 100}, Make);
  EXPECT_EQ(store.DropTo(0).size(), 1);
  EXPECT_EQ(store.held(), 0);
  store.Release(0);
  store.Release(0);
  EXPECT_EQ(store.DropAll().size(), 1);
  EXPECT_EQ(store.held(), 0);
}

// A pass under way has memory of its own right; what it will leave behind counts from its end on.
TEST(NetworkStore, WhatAPassUnderWayTakesIsNotHeldToo) {
  Store store(kUsual);
  Pass(store, kOpen, {.instance = 0, .network_bytes = 20, .pass_bytes = 100});
  Pass(store, kOpen, {.instance = 1, .network_bytes = 20, .pass_bytes = 100});
  store.Take(kOpen, {.instance = 0, .network_bytes = 20, .pass_bytes = 30}, Make);
  EXPECT_EQ(store.held(), 70 + 100);
  store.Take(kOpen, {.instance = 1, .network_bytes = 20, .pass_bytes = 200}, Make);
  EXPECT_EQ(store.held(), 70);
  store.Release(0);
  store.Release(1);
  EXPECT_EQ(store.held(), 20 + 100 + 200);
}

TEST(NetworkStore, UnusedNetworksGoWithTimeAndLargeOnesSooner) {
  Store store(kUsual);
  Pass(store, kOpen, {.pass_bytes = 100});
  Pass(store, kLarge, {.pass_bytes = 800});
  for (int i = 1; i < Store::kAgesOfLarge; ++i) ASSERT_TRUE(store.Age().empty());
  Pass(store, kLarge, {.pass_bytes = 800});  // it is young again
  for (int i = 1; i < Store::kAgesOfLarge; ++i) ASSERT_TRUE(store.Age().empty());
  ASSERT_EQ(store.Age().size(), 1);
  EXPECT_EQ(store.held(), 100);
  for (int i = 2 * Store::kAgesOfLarge; i < Store::kAges; ++i) ASSERT_TRUE(store.Age().empty());
  EXPECT_EQ(store.Age().size(), 1);
  EXPECT_EQ(store.held(), 0);
}

}  // namespace
}  // namespace pixpool
