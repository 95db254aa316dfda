#include "backend/cpu/isa.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>

#include "backend/cpu/kernels.h"
#include "base/error.h"

namespace tenth::cpu {
namespace {

struct CpuFeatures {
  bool avx2 = false, avx512 = false, avx512_bf16 = false, amx = false;
};

// Extended control register 0: the register files that the operating system saves.
uint64_t read_xcr0() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
}

// AMX tiles are off until a process asks for them (Linux 5.16: ARCH_REQ_XCOMP_PERM for XTILEDATA).
bool request_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

CpuFeatures detect() {
  CpuFeatures found;
  uint32_t a, b, c, d;
  const auto bit = [](uint32_t word, int i) { return (word >> i & 1) != 0; };
  if (!__get_cpuid(1, &a, &b, &c, &d)) return found;
  const bool fma = bit(c, 12), osxsave = bit(c, 27), avx = bit(c, 28), f16c = bit(c, 29);
  if (!osxsave || !avx) return found;
  const uint64_t xcr0 = read_xcr0();
  const auto saved = [&](uint64_t mask) { return (xcr0 & mask) == mask; };
  constexpr uint64_t kYmm = 0x6, kZmm = 0xe6, kTiles = 0x60000;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
  const uint32_t subleaves = a, features = d;
  const bool vnni = bit(c, 11);
  found.avx2 = saved(kYmm) && fma && f16c && bit(b, 5) && bit(b, 8);                                 // avx2, bmi2
  found.avx512 = found.avx2 && saved(kZmm) && bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31);  // f, dq, bw, vl
  if (subleaves < 1 || !__get_cpuid_count(7, 1, &a, &b, &c, &d)) return found;
  found.avx512_bf16 = found.avx512 && vnni && bit(a, 5);  // every processor with the second has the first
  found.amx = found.avx512_bf16 && saved(kTiles) && bit(features, 22) && bit(features, 24) && request_tiles();
  return found;
}

const CpuFeatures& features() {
  static const CpuFeatures found = detect();
  return found;
}

// Operations a second of a table's multiply-add instruction; the best of several short runs, so that an interrupted one
// does not count.
double rate(const GemmKernels& kernels) {
  constexpr int64_t kSteps = 5000;  // about 20 microseconds
  double best = 0;
  for (int run = 0; run < 8; run++) {
    const auto start = std::chrono::steady_clock::now();
    const double operations = double(kernels.register_loop(kSteps));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, operations / std::max(seconds, 1e-9));
  }
  return best;
}

constexpr double kDotProductBorder = 0.7;

bool dot_product_is_fast() { return rate(kGemmBf16Avx512Bf16) >= kDotProductBorder * rate(kGemmF32Avx512); }

}  // namespace

std::string_view name_of(Isa isa) {
  switch (isa) {
    case Isa::kGeneric: return "generic";
    case Isa::kAvx2: return "avx2";
    case Isa::kAvx512: return "avx512";
    case Isa::kAvx512Bf16: return "avx512bf16";
    case Isa::kAmx: return "amx";
  }
  return "?";
}

bool isa_available(Isa isa) {
  switch (isa) {
    case Isa::kGeneric: return true;
    case Isa::kAvx2: return features().avx2;
    case Isa::kAvx512: return features().avx512;
    case Isa::kAvx512Bf16: return features().avx512_bf16;
    case Isa::kAmx: return features().amx;
  }
  return false;
}

Isa choose_isa(std::string_view name) {
  if (name.empty()) {
    if (isa_available(Isa::kAmx)) return Isa::kAmx;
    if (isa_available(Isa::kAvx512Bf16) && dot_product_is_fast()) return Isa::kAvx512Bf16;
    if (isa_available(Isa::kAvx512)) return Isa::kAvx512;
    return isa_available(Isa::kAvx2) ? Isa::kAvx2 : Isa::kGeneric;
  }
  for (Isa isa : kIsas) {
    if (name != name_of(isa)) continue;
    require(isa_available(isa), ErrorKind::kUnsupported,
            "TENTH_CPU: this machine does not have {}; unset it to use the best set the machine has", name);
    return isa;
  }
  fail(ErrorKind::kInput, "TENTH_CPU: expected generic, avx2, avx512, avx512bf16 or amx, got \"{}\"", name);
}

Isa active_isa() {
  static const Isa chosen = [] {
    const char* name = std::getenv("TENTH_CPU");
    return choose_isa(name ? name : "");
  }();
  return chosen;
}

const KernelTable& kernels_of(Isa isa) {
  switch (isa) {
    case Isa::kGeneric: break;
    case Isa::kAvx2: return kKernelsAvx2;
    case Isa::kAvx512: return kKernelsAvx512;
    case Isa::kAvx512Bf16: return kKernelsAvx512Bf16;
    case Isa::kAmx: return kKernelsAmx;
  }
  return kKernelsGeneric;
}

const KernelTable& kernels() {
  static const KernelTable& table = kernels_of(active_isa());
  return table;
}

}  // namespace tenth::cpu
