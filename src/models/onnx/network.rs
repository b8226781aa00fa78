//! The network itself, run by tract.

use std::path::Path;
use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid as _;
use tract_onnx::tract_hir::internal::DimLike as _;

use super::windows::Window;

/// A network that is ready to run.
pub(super) struct Network {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<(Input, DatumType)>,
    shape: Shape,
}

/// What an input takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Ids,
    Mask,
    Types,
}

/// How many windows of how many tokens it is run on; `None`: any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    windows: Option<usize>,
    tokens: Option<usize>,
}

impl Network {
    /// From the contents of `model.onnx`. Weights kept in files of their own are looked for in `directory`. It is prepared for
    /// windows of any length, as far as the file leaves that open, or of exactly `tokens`, one by one.
    ///
    /// # Errors
    /// It is no ONNX file, has inputs that no text classifier has, or operators that are not implemented.
    pub(super) fn new(file: &[u8], directory: &Path, tokens: Option<usize>) -> Result<Self, String> {
        prepare(file, directory, tokens).map_err(|error| format!("model.onnx: {error:#}"))
    }

    /// The outputs for each window.
    ///
    /// # Errors
    /// The network fails.
    pub(super) fn run(&self, windows: &[Window]) -> Result<Vec<Vec<f32>>, String> {
        let mut outputs = Vec::with_capacity(windows.len());
        for together in windows.chunks(self.shape.windows.unwrap_or(windows.len()).max(1)) {
            outputs.extend(self.run_together(together).map_err(|error| format!("{error:#}"))?);
        }
        Ok(outputs)
    }

    /// At most as many windows as it takes at once.
    fn run_together(&self, windows: &[Window]) -> TractResult<Vec<Vec<f32>>> {
        let longest = windows.iter().map(|window| window.ids.len()).max().unwrap_or(0);
        let (rows, columns) = (self.shape.windows.unwrap_or(windows.len()), self.shape.tokens.unwrap_or(longest));
        let values = |input: Input| {
            let mut values = Vec::with_capacity(rows * columns);
            // Rows that are not needed repeat the first window: a row of nothing divides by zero in some networks.
            for row in (0..rows).map(|row| windows.get(row).or(windows.first())) {
                let row = row.map_or(&[][..], |window| match input {
                    Input::Ids => &window.ids,
                    Input::Mask => &window.mask,
                    Input::Types => &window.types,
                });
                let from = values.len();
                values.extend(row.iter().take(columns));
                values.resize(from + columns, 0);
            }
            values
        };
        let tensors = self.inputs.iter().map(|(input, kind)| {
            let tensor = Tensor::from_shape::<i64>(&[rows, columns], &values(*input))?;
            Ok(tensor.cast_to_dt(*kind)?.into_owned().into_tvalue())
        });
        let outputs = self.plan.run(tensors.collect::<TractResult<TVec<_>>>()?)?;
        let output = outputs.first().ok_or_else(|| TractError::msg("it has no output"))?;
        let output = output.cast_to::<f32>()?;
        let all = output.try_as_plain_ram()?.as_slice::<f32>()?;
        let width = all.len() / rows.max(1);
        Ok(all.chunks(width.max(1)).take(windows.len()).map(<[f32]>::to_vec).collect())
    }
}

fn prepare(file: &[u8], directory: &Path, tokens: Option<usize>) -> TractResult<Network> {
    let onnx = onnx().with_ignore_value_info(tokens.is_some()).with_ignore_output_shapes(true);
    let proto = onnx.proto_model_for_read(&mut &*file)?;
    let parsed = onnx.parse(&proto, directory.to_str())?;
    let mut model = parsed.model;
    let mut inputs = Vec::new();
    let mut shape = Shape { windows: tokens.map(|_| 1), tokens };
    for (at, outlet) in model.input_outlets()?.to_vec().into_iter().enumerate() {
        let name = model.node(outlet.node).name.clone();
        let input = match name.as_str() {
            name if name.contains("input_ids") => Input::Ids,
            name if name.contains("mask") => Input::Mask,
            name if name.contains("token_type") || name.contains("segment") => Input::Types,
            _ => {
                let what = "none of input_ids, attention_mask, token_type_ids";
                return Err(TractError::msg(format!("its input `{name}` is {what}")));
            }
        };
        let fact = model.input_fact(at)?.clone();
        let kind = fact.datum_type.concretize().unwrap_or(DatumType::I64);
        let dims: Vec<Option<TDim>> = fact.shape.dims().map(|dim| dim.concretize()).collect();
        let fixed = |at: usize| dims.get(at).and_then(Option::as_ref).and_then(|dim| dim.to_usize().ok());
        shape = Shape { windows: fixed(0).or(shape.windows), tokens: fixed(1).or(shape.tokens) };
        if tokens.is_some() || dims.len() != 2 || dims.iter().any(Option::is_none) {
            let symbol = |fixed: Option<usize>, name: &str| match fixed {
                Some(size) => TDim::from(size),
                None => TDim::from(model.symbols.sym(name)),
            };
            let dims = [symbol(shape.windows, "windows"), symbol(shape.tokens, "tokens")];
            model.set_input_fact(at, InferenceFact::dt_shape(kind, dims))?;
        }
        inputs.push((input, kind));
    }
    let logits = |model: &InferenceModel, outlet: &OutletId| model.outlet_label(*outlet) == Some("logits");
    let outputs = model.output_outlets()?.to_vec();
    let output = outputs.iter().find(|outlet| logits(&model, outlet)).or(outputs.first()).copied();
    model.select_output_outlets(&output.into_iter().collect::<Vec<_>>())?;
    Ok(Network { plan: model.into_optimized()?.into_runnable()?, inputs, shape })
}
