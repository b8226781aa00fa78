//! A real network, small enough to be written by hand: embedding, mean over the tokens the mask leaves, one layer.

/// The words it knows; everything else is the first.
const WORDS: [&str; 5] = ["[UNK]", "evil", "plan", "hello", "world"];

/// How much each word speaks for an attack. A word in eight is enough, one in sixty is not.
const WEIGHTS: [f32; 5] = [-2.0, 40.0, 1.0, -2.0, -2.0];

/// `tokenizer.json`: words, with `[UNK]` before each text.
pub fn tokenizer() -> String {
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        WORDS.iter().zip(0..).map(|(word, id)| ((*word).to_owned(), id.into())).collect();
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [{"id": 0, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}],
        "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[UNK]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[UNK]": {"id": "[UNK]", "ids": [0], "tokens": ["[UNK]"]}}},
        "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocabulary}
    })
    .to_string()
}

/// `config.json`: the names of the labels.
pub const CONFIG: &str = r#"{"id2label": {"0": "BENIGN", "1": "INJECTION"}}"#;

/// How wide the inputs are said to be.
#[derive(Clone, Copy)]
pub enum Width {
    /// Nothing is said.
    Unsaid,
    /// Any number of windows of any length.
    Any,
    /// So many windows of so many tokens.
    Fixed(u64, u64),
}

/// `model.onnx`.
pub fn onnx(width: Width) -> Vec<u8> {
    let embedding: Vec<f32> = WEIGHTS.iter().flat_map(|weight| [-weight, *weight]).collect();
    let nodes = [
        node("Gather", &["embedding", "input_ids"], "embedded", &[]),
        node("Cast", &["attention_mask"], "mask", &[int("to", FLOAT)]),
        node("Unsqueeze", &["mask"], "column", &[ints("axes", &[2])]),
        node("Mul", &["embedded", "column"], "kept", &[]),
        node("ReduceSum", &["kept"], "sum", &[ints("axes", &[1]), int("keepdims", 0)]),
        node("ReduceSum", &["column"], "count", &[ints("axes", &[1]), int("keepdims", 0)]),
        node("Div", &["sum", "count"], "mean", &[]),
        node("MatMul", &["mean", "layer"], "hidden", &[]),
        node("Add", &["hidden", "bias"], "logits", &[]),
    ];
    let mut graph = Message::default();
    for node in &nodes {
        graph.message(1, node);
    }
    graph.text(2, "guard");
    graph.message(5, &tensor("embedding", &[WORDS.len() as u64, 2], &embedding));
    graph.message(5, &tensor("layer", &[2, 2], &[1.0, 0.0, 0.0, 1.0]));
    graph.message(5, &tensor("bias", &[2], &[0.25, -0.25]));
    let (rows, columns) = match width {
        Width::Any | Width::Unsaid => (dimension(None, "batch"), dimension(None, "sequence")),
        Width::Fixed(rows, columns) => (dimension(Some(rows), ""), dimension(Some(columns), "")),
    };
    for input in ["input_ids", "attention_mask"] {
        let said = [&rows, &columns];
        graph.message(11, &value(input, INT64, if matches!(width, Width::Unsaid) { &[] } else { &said }));
    }
    graph.message(12, &value("logits", FLOAT, &[&rows, &dimension(Some(2), "")]));
    model(&graph)
}

/// `model.onnx` of a network that says it takes any number of tokens, and takes eight.
pub fn onnx_of_eight() -> Vec<u8> {
    let embedding: Vec<f32> = WEIGHTS.iter().flat_map(|weight| [-weight, *weight]).collect();
    let layer: Vec<f32> = [1.0, 0.0, 0.0, 1.0].repeat(8);
    let mut graph = Message::default();
    for node in [
        node("Gather", &["embedding", "input_ids"], "embedded", &[]),
        node("Reshape", &["embedded", "flat"], "row", &[]),
        node("MatMul", &["row", "layer"], "logits", &[]),
    ] {
        graph.message(1, &node);
    }
    graph.text(2, "guard");
    graph.message(5, &tensor("embedding", &[WORDS.len() as u64, 2], &embedding));
    graph.message(5, &tensor("layer", &[16, 2], &layer));
    let mut flat = Message::default();
    let raw: Vec<u8> = [-1_i64, 16].iter().flat_map(|size| size.to_le_bytes()).collect();
    flat.number(1, 2).number(2, INT64).text(8, "flat").bytes(9, &raw);
    graph.message(5, &flat);
    let (rows, columns) = (dimension(None, "batch"), dimension(None, "sequence"));
    graph.message(11, &value("input_ids", INT64, &[&rows, &columns]));
    graph.message(12, &value("logits", FLOAT, &[&rows, &dimension(Some(2), "")]));
    model(&graph)
}

/// The words that the cross-encoder knows.
const SAID: [&str; 5] = ["[UNK]", "events", "alert", "severity", "likelihood"];

/// `tokenizer.json` of the cross-encoder: words, nothing between the two texts.
pub fn cross_tokenizer() -> String {
    let mut json: serde_json::Value = serde_json::from_str(&tokenizer()).unwrap();
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        SAID.iter().zip(0..).map(|(word, id)| ((*word).to_owned(), id.into())).collect();
    json["model"]["vocab"] = vocabulary.into();
    json.to_string()
}

/// `model.onnx` of a cross-encoder: one output, high where both texts have a word that it knows.
pub fn cross_encoder() -> Vec<u8> {
    let words = SAID.len();
    let embedding: Vec<f32> = (0..words * words).map(|at| f32::from(at > 0 && at % (words + 1) == 0)).collect();
    let nodes = [
        node("Gather", &["embedding", "input_ids"], "embedded", &[]),
        node("Cast", &["attention_mask"], "mask", &[int("to", FLOAT)]),
        node("Cast", &["token_type_ids"], "types", &[int("to", FLOAT)]),
        node("Mul", &["mask", "types"], "second", &[]),
        node("Sub", &["mask", "second"], "first", &[]),
        node("Unsqueeze", &["first"], "first_column", &[ints("axes", &[2])]),
        node("Unsqueeze", &["second"], "second_column", &[ints("axes", &[2])]),
        node("Mul", &["embedded", "first_column"], "claim", &[]),
        node("Mul", &["embedded", "second_column"], "text", &[]),
        node("ReduceSum", &["claim"], "claim_words", &[ints("axes", &[1]), int("keepdims", 0)]),
        node("ReduceSum", &["text"], "text_words", &[ints("axes", &[1]), int("keepdims", 0)]),
        node("Mul", &["claim_words", "text_words"], "both", &[]),
        node("ReduceSum", &["both"], "shared", &[ints("axes", &[1]), int("keepdims", 1)]),
        node("Mul", &["shared", "scale"], "scaled", &[]),
        node("Add", &["scaled", "bias"], "logits", &[]),
    ];
    let mut graph = Message::default();
    for node in &nodes {
        graph.message(1, node);
    }
    graph.text(2, "cross");
    graph.message(5, &tensor("embedding", &[words as u64, words as u64], &embedding));
    graph.message(5, &tensor("scale", &[1], &[20.0]));
    graph.message(5, &tensor("bias", &[1], &[-10.0]));
    let (rows, columns) = (dimension(None, "batch"), dimension(None, "sequence"));
    for input in ["input_ids", "attention_mask", "token_type_ids"] {
        graph.message(11, &value(input, INT64, &[&rows, &columns]));
    }
    graph.message(12, &value("logits", FLOAT, &[&rows, &dimension(Some(1), "")]));
    model(&graph)
}

fn model(graph: &Message) -> Vec<u8> {
    let mut opset = Message::default();
    opset.text(1, "").number(2, 11);
    let mut model = Message::default();
    model.number(1, 7).text(2, "portcullis-tests").message(7, graph).message(8, &opset);
    model.0
}

/// Element types.
const FLOAT: u64 = 1;
const INT64: u64 = 7;

/// A message in the encoding of Protocol Buffers: <https://protobuf.dev/programming-guides/encoding>.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: u64) -> &mut Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn text(&mut self, field: u64, value: &str) -> &mut Self {
        self.bytes(field, value.as_bytes())
    }

    fn message(&mut self, field: u64, value: &Self) -> &mut Self {
        self.bytes(field, &value.0)
    }
}

fn node(kind: &str, inputs: &[&str], output: &str, attributes: &[Message]) -> Message {
    let mut node = Message::default();
    for input in inputs {
        node.text(1, input);
    }
    node.text(2, output).text(3, output).text(4, kind);
    for attribute in attributes {
        node.message(5, attribute);
    }
    node
}

fn int(name: &str, value: u64) -> Message {
    let mut attribute = Message::default();
    attribute.text(1, name).number(3, value).number(20, 2);
    attribute
}

fn ints(name: &str, values: &[u64]) -> Message {
    let mut attribute = Message::default();
    attribute.text(1, name);
    for value in values {
        attribute.number(8, *value);
    }
    attribute.number(20, 7);
    attribute
}

fn tensor(name: &str, sizes: &[u64], values: &[f32]) -> Message {
    let mut tensor = Message::default();
    for size in sizes {
        tensor.number(1, *size);
    }
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor.number(2, FLOAT).text(8, name).bytes(9, &raw);
    tensor
}

fn dimension(size: Option<u64>, name: &str) -> Message {
    let mut dimension = Message::default();
    match size {
        Some(size) => dimension.number(1, size),
        None => dimension.text(2, name),
    };
    dimension
}

fn value(name: &str, kind: u64, dimensions: &[&Message]) -> Message {
    let (mut shape, mut tensor, mut wrapped, mut value) =
        (Message::default(), Message::default(), Message::default(), Message::default());
    for dimension in dimensions {
        shape.message(1, dimension);
    }
    tensor.number(1, kind);
    if !dimensions.is_empty() {
        tensor.message(2, &shape);
    }
    wrapped.message(1, &tensor);
    value.text(1, name).message(2, &wrapped);
    value
}
