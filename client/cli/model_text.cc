#include "client/cli/model_text.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/table.h"

namespace pixpool::cli {
namespace {

constexpr size_t kNoteWidth = 90;

// "ready" of MODEL_STATE_READY.
std::string EnumText(const std::string& name, const char* prefix) {
  return absl::AsciiStrToLower(absl::string_view(name).substr(absl::string_view(prefix).size()));
}

std::string StateText(const v1::Model& model) {
  std::string text = EnumText(v1::ModelState_Name(model.state()), "MODEL_STATE_");
  if (model.idle()) text += ", idle";
  if (!model.state_message().empty())
    absl::StrAppend(&text, ": ", Printable(model.state_message()));
  return text;
}

std::vector<std::string> Header(std::vector<std::string> cells, const Style& style) {
  for (std::string& cell : cells) cell = style.Bold(cell);
  return cells;
}

std::string RecipeText(const v1::InputRecipe& r) {
  std::vector<std::string> steps;
  if (r.color() == "grey") steps.push_back("grey");
  if (r.resize() == v1::RESIZE_MODE_SHORTER_SIDE) {
    steps.push_back(absl::StrCat("shorter side to ", r.resize_size_px(), " px (",
                                 Printable(r.interpolation()), ")"));
  } else if (r.resize() == v1::RESIZE_MODE_EXACT) {
    steps.push_back(absl::StrCat("resize to ", r.resize_height_px(), " x ", r.resize_width_px(),
                                 " px (", Printable(r.interpolation()), ")"));
  }
  if (r.crop() == v1::CROP_MODE_CENTER) steps.push_back("centre crop");
  steps.push_back(absl::StrCat("input ", r.input_height_px(), " x ", r.input_width_px(), " px"));
  std::vector<std::string> sizes;
  for (const v1::InputSize& size : r.sizes()) {
    sizes.push_back(absl::StrCat(size.height_px(), " x ", size.width_px()));
  }
  if (!sizes.empty()) {
    steps.push_back(absl::StrCat("takes ", absl::StrJoin(sizes, ", "), " px alone"));
  } else if (r.size_multiple_px() > 1) {
    steps.push_back(absl::StrCat("takes multiples of ", r.size_multiple_px(), " px"));
  }
  std::string text = absl::StrJoin(steps, ", ");
  absl::StrAppend(&text, "\nmean ", absl::StrJoin(r.mean(), " "), "; std ",
                  absl::StrJoin(r.std(), " "));
  return text;
}

std::string Facts(const v1::Model& m, const Style& style) {
  Table table(style);
  table.AddTitle(
      absl::StrCat(style.Bold(Printable(m.name())), "  version ", Printable(m.version())));
  table.AddRule();
  table.AddRow({"state", StateText(m)});
  table.AddRow({"engine", absl::StrCat(Printable(m.engine()), " on ", Printable(m.device()), ", ",
                                       Printable(m.precision()))});
  table.AddRow({"licence", Printable(m.license())});
  table.AddRow({"weights", absl::StrCat("sha256 ", Printable(m.weights_sha256()))});
  table.AddRow({"input", RecipeText(m.input_recipe())});
  const std::string source = m.classifier_vector().empty()
                                 ? absl::StrCat("layer ", Printable(m.classifier_layer()))
                                 : absl::StrCat("vector ", Printable(m.classifier_vector()));
  table.AddRow({"classes", m.class_count() == 0
                               ? "no classifier"
                               : absl::StrCat(m.class_count(), ", from ", source)});
  table.AddRow({"space", Printable(m.space_id())});
  for (const std::string& warning : m.warnings()) {
    table.AddRow({"note", Wrap(Printable(warning), kNoteWidth)});
  }
  return table.Render();
}

// "class token, 4 registers" of a transformer's block.
std::string TokensText(const v1::Layer& layer) {
  std::vector<std::string> parts;
  if (layer.has_class_token()) parts.push_back("class token");
  const int registers = layer.prefix_token_count() - (layer.has_class_token() ? 1 : 0);
  if (registers > 0) {
    parts.push_back(absl::StrCat(registers, registers == 1 ? " register" : " registers"));
  }
  return parts.empty() ? "-" : absl::StrJoin(parts, ", ");
}

std::string Layers(const v1::Model& m, const Style& style) {
  const bool has_tokens =
      std::any_of(m.layers().begin(), m.layers().end(),
                  [](const v1::Layer& layer) { return layer.prefix_token_count() > 0; });
  Table table(style);
  std::vector<std::string> header = {"layer", "channels", "stride", "values"};
  if (has_tokens) header.push_back("tokens beside the map's");
  table.AddRow(Header(std::move(header), style));
  table.AlignRight(1);
  table.AlignRight(2);
  table.AddRule();
  for (const v1::Layer& layer : m.layers()) {
    const bool is_default = layer.name() == m.default_layer();
    std::vector<std::string> row = {
        absl::StrCat(Printable(layer.name()), is_default ? " (default)" : ""),
        absl::StrCat(layer.channel_count()), absl::StrCat(layer.stride_px(), " px"),
        layer.non_negative() ? "0 or above" : "any sign"};
    if (has_tokens) row.push_back(TokensText(layer));
    table.AddRow(std::move(row));
  }
  return table.Render();
}

std::string Vectors(const v1::Model& m, const Style& style) {
  if (m.vectors_size() == 0) return "";
  Table table(style);
  table.AddRow(Header({"vector", "dimensions", "head"}, style));
  table.AlignRight(1);
  table.AddRule();
  for (const v1::Vector& v : m.vectors()) {
    const std::string name = Printable(v.name());
    table.AddRow({name, absl::StrCat(v.dimension_count()),
                  name == "embedding" ? name : absl::StrCat("bundle_head:name=", name)});
  }
  return table.Render();
}

std::string ParameterText(const v1::HeadParameter& p) {
  std::string text = absl::StrCat(Printable(p.name()), " (", Printable(p.type()), "): ");
  if (!p.range().empty()) absl::StrAppend(&text, Printable(p.range()), ", ");
  if (p.required()) {
    text += "required";
  } else if (p.default_value().empty()) {
    text += "optional";
  } else {
    absl::StrAppend(&text, "default ", Printable(p.default_value()));
  }
  return text;
}

std::string Heads(const v1::Model& m, const Style& style) {
  Table table(style);
  table.AddRow(Header({"head", "what it is, and its parameters", "values"}, style));
  table.AlignRight(2);
  for (const v1::HeadType& head : m.head_types()) {
    std::vector<std::string> lines = {Printable(head.description())};
    for (const v1::HeadParameter& p : head.parameters()) lines.push_back("  " + ParameterText(p));
    table.AddRule();
    table.AddRow(
        {style.Bold(Printable(head.name())), absl::StrJoin(lines, "\n"),
         head.default_value_count() == 0 ? "-" : absl::StrCat(head.default_value_count())});
  }
  return table.Render();
}

std::string Projections(const v1::Model& m, const Style& style) {
  if (m.projections_size() == 0) return "";
  Table table(style);
  table.AddRow(Header(
      {"projection", "layer", "fitted on", "dimensions", "pictures", "variance kept"}, style));
  for (const size_t column : {3, 4, 5}) table.AlignRight(column);
  table.AddRule();
  for (const v1::Projection& p : m.projections()) {
    table.AddRow(
        {Printable(p.name()),
         p.vector().empty() ? Printable(p.layer()) : absl::StrCat("vector ", Printable(p.vector())),
         Printable(p.head_kind()),
         absl::StrCat(p.input_dimension_count(), " to ", p.output_dimension_count()),
         absl::StrCat(p.picture_count()),
         absl::StrFormat("%.1f %%", p.explained_variance() * 100.0)});
  }
  return table.Render();
}

std::string Filters(const v1::Model& m, const Style& style) {
  if (m.filters_size() == 0) return "";
  Table table(style);
  table.AddRow(Header({"filter", "layer", "kernel", "stride", "channels out", "groups"}, style));
  for (const size_t column : {4, 5}) table.AlignRight(column);
  table.AddRule();
  for (const v1::ConvFilter& f : m.filters()) {
    table.AddRow({Printable(f.name()), Printable(f.layer()), absl::StrJoin(f.kernel_size(), " x "),
                  absl::StrJoin(f.stride(), " x "), absl::StrCat(f.output_channel_count()),
                  absl::StrCat(f.group_count())});
  }
  return table.Render();
}

std::string LimitTable(const v1::Limits& l, const Style& style) {
  Table table(style);
  table.AddRow(Header({"limit", "at most"}, style));
  table.AlignRight(1);
  table.AddRule();
  table.AddRow({"images in a request", absl::StrCat(l.max_images_per_request())});
  table.AddRow({"heads in a request", absl::StrCat(l.max_heads_per_request())});
  table.AddRow({"regions of an image", absl::StrCat(l.max_regions_per_image())});
  table.AddRow({"bytes of an encoded image", absl::StrCat(l.max_image_bytes())});
  table.AddRow({"pixels of an image", absl::StrCat(l.max_image_pixels())});
  table.AddRow({"longer side of an image", absl::StrCat(l.max_image_side_px(), " px")});
  table.AddRow({"longer side of the input", absl::StrCat(l.max_input_side_px(), " px")});
  table.AddRow({"bytes of a response", absl::StrCat(l.max_response_bytes())});
  table.AddRow({"bytes of a request message", absl::StrCat(l.max_message_bytes())});
  table.AddRow({"values that the heads of a request read", absl::StrCat(l.max_head_operations())});
  return table.Render();
}

}  // namespace

std::string ModelListText(const v1::ListModelsResponse& list, const Style& style) {
  if (list.models_size() == 0) return "the server holds no models\n";
  Table table(style);
  table.AddRow(Header(
      {"model", "version", "state", "engine", "device", "precision", "input", "layers", "classes"},
      style));
  table.AlignRight(7);
  table.AlignRight(8);
  table.AddRule();
  for (const v1::Model& m : list.models()) {
    table.AddRow(
        {Printable(m.name()), Printable(m.version()), StateText(m), Printable(m.engine()),
         Printable(m.device()), Printable(m.precision()),
         absl::StrCat(m.input_recipe().input_height_px(), " x ", m.input_recipe().input_width_px()),
         absl::StrCat(m.layers_size()), absl::StrCat(m.class_count())});
  }
  return table.Render();
}

std::string ModelText(const v1::Model& model, const Style& style) {
  return absl::StrCat(Facts(model, style), Layers(model, style), Vectors(model, style),
                      Heads(model, style), Projections(model, style), Filters(model, style),
                      LimitTable(model.limits(), style));
}

}  // namespace pixpool::cli
