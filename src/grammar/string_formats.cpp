#include "grammar/string_formats.h"

#include <map>
#include <set>

namespace tenth {
namespace {

// RFC 3339; without leap seconds and the year 0000.
const std::string kYear = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)";
const std::string kLeapYear = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)";
const std::string kDate = "(?:" + kYear + "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|" +
                          "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|" + kLeapYear + "-02-29)";
const std::string kTime =
    "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";

// RFC 3986; RFC 5321's usual part for addresses of mail, RFC 1123 for hosts.
const std::string kByte = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const std::string kIpv4 = kByte + "(?:\\." + kByte + "){3}";
const std::string kLabel = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const std::string kHost = kLabel + "(?:\\." + kLabel + "){0,8}";
const std::string kPiece = "[0-9A-Fa-f]{1,4}";

std::string ipv6() {
  const std::string last = "(?:" + kPiece + ":" + kPiece + "|" + kIpv4 + ")";
  std::string all = "(?:" + kPiece + ":){6}" + last;
  // n pieces at most before the ::, the rest of eight at most behind it.
  for (int before = 0; before <= 7; before++) {
    const std::string left = before == 0 ? "" : kPiece + "(?::" + kPiece + "){" + std::to_string(before - 1) + "}";
    const int room = 7 - before;
    std::string right;
    if (room >= 1) right += "|" + kPiece;
    if (room >= 2) right += "|(?:" + kPiece + ":){0," + std::to_string(room - 2) + "}" + last;
    all += "|" + left + "::(?:" + right.substr(right.empty() ? 0 : 1) + (right.empty() ? "" : "|") + ")";
  }
  return "(?:" + all + ")";
}

const std::string kEscaped = "%[0-9A-Fa-f]{2}";
const std::string kPathChar = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|" + kEscaped + ")";
const std::string kAuthority = "(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|" + kEscaped + ")*@)?(?:[A-Za-z0-9._~!$&'()*+,;=-]|" +
                               kEscaped + ")*(?::[0-9]{0,5})?";
const std::string kTail = "(?:\\?(?:" + kPathChar + "|[/?])*)?(?:#(?:" + kPathChar + "|[/?])*)?";
const std::string kUri = "[A-Za-z][A-Za-z0-9+.-]*:(?://" + kAuthority + "(?:/" + kPathChar + "*)*|/?" + kPathChar +
                         "+(?:/" + kPathChar + "*)*|/?)" + kTail;
const std::string kRelative = "(?://" + kAuthority + "(?:/" + kPathChar + "*)*|/(?:" + kPathChar + "+(?:/" + kPathChar +
                              "*)*)?|(?:[A-Za-z0-9._~!$&'()*+,;=@-]|" + kEscaped + ")+(?:/" + kPathChar + "*)*|)" +
                              kTail;

const std::map<std::string, std::string>& patterns() {
  static const std::string atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,32}";
  static const std::string units = "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)";
  static const std::string clock = "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)";
  static const std::map<std::string, std::string> all = [] {
    std::map<std::string, std::string> made = {
        {"date", kDate},
        {"time", kTime},
        {"date-time", kDate + "[Tt]" + kTime},
        {"duration", "P(?:" + units + "(?:" + clock + ")?|" + clock + "|[0-9]+W)"},
        {"uuid", "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"},
        {"email", atom + "(?:\\." + atom + "){0,3}@" + kHost},
        {"idn-email", "[^\\x00- \"(),:;<>@\\[\\\\\\]\\x7F]{1,64}@[^\\x00- \"(),:;<>@\\[\\\\\\]\\x7F]{1,255}"},
        {"uri-template", "(?:[^\\x00- \"'%<>\\\\^`{|}]|" + kEscaped + "|\\{[+#./;?&=,!@|]?[A-Za-z0-9_.,:*%]+\\})*"},
        {"relative-json-pointer", "(?:0|[1-9][0-9]*)(?:#|(?:/(?:[^~/]|~[01])*)*)"},
        {"hostname", kHost},
        {"ipv4", kIpv4},
        {"ipv6", ipv6()},
        {"uri", kUri},
        {"uri-reference", kUri + "|" + kRelative},
        {"json-pointer", "(?:/(?:[^~/]|~[01])*)*"},
    };
    for (auto& [name, pattern] : made) pattern = "^(?:" + pattern + ")$";
    return made;
  }();
  return all;
}

}  // namespace

const std::string* format_pattern(const std::string& format) {
  const auto at = patterns().find(format);
  return at == patterns().end() ? nullptr : &at->second;
}

bool format_unsupported(const std::string& format) {
  static const std::set<std::string> names = {"idn-hostname", "iri", "iri-reference", "regex"};
  return names.contains(format);
}

}  // namespace tenth
