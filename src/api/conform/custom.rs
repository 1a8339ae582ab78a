//! Objects of a definition: what the schema does not know goes, everything else waits for validation.

use serde_json::{Map, Value, json};

use super::{TypeError, Walk, Wanted, bare_mismatch};
use crate::encode::drop_empty;
use crate::field_error::FieldError;
use crate::meta::OBJECT_META;
use crate::schema::{Custom, Rest, Shape, Type};

fn keeps_all(of: &Type) -> bool {
    of.custom.as_ref().is_some_and(|custom| matches!(custom.rest, Rest::Kept))
}

impl Walk {
    pub(super) fn custom(
        &mut self,
        map: Map<String, Value>,
        of: &Type,
        custom: &Custom,
    ) -> Result<Map<String, Value>, TypeError> {
        let is_root = self.path.is_empty();
        let mut kept = Map::with_capacity(map.len());
        for (name, value) in map {
            let is_key = of.field(&name).is_none() && matches!(custom.rest, Rest::Shaped(_));
            let outer = self.step(&name, is_key);
            match (name.as_str(), of.field(&name), &custom.rest) {
                ("kind" | "apiVersion", ..) if is_root => {}
                ("metadata", ..) if is_root || custom.is_embedded => {
                    if let Some(value) = self.metadata(value, is_root)? {
                        kept.insert(name, value);
                    }
                }
                ("kind" | "apiVersion", ..) if custom.is_embedded => {
                    if !value.is_string() {
                        let error = FieldError::invalid(&self.place, value, "must be a string");
                        return Err(TypeError(error.to_string()));
                    }
                    kept.insert(name, value);
                }
                (_, Some(field), _) => {
                    kept.insert(name, self.lenient(value, &field.shape)?);
                }
                (_, None, Rest::Kept) => {
                    kept.insert(name, value);
                }
                (_, None, Rest::Shaped(shape)) => {
                    kept.insert(name, self.lenient(value, shape)?);
                }
                (_, None, Rest::Dropped) => self.prune(),
            }
            self.leave(outer);
        }
        Ok(kept)
    }

    /// Goes down to a member. What is not known is told by dots alone (`path`), what is wrong about the metadata of
    /// objects within with keys in brackets (`place`).
    fn step(&mut self, name: &str, is_key: bool) -> (usize, usize) {
        let outer = (self.path.len(), self.place.len());
        if outer.0 > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        match is_key {
            true => self.place.extend(["[", name, "]"]),
            false if outer.1 > 0 => self.place.extend([".", name]),
            false => self.place.push_str(name),
        }
        outer
    }

    /// The metadata of an object: of its own type, and strictly so.
    fn metadata(&mut self, value: Value, is_root: bool) -> Result<Option<Value>, TypeError> {
        let mut map = match value {
            Value::Null if is_root => return Ok(None),
            Value::Null => return Ok(Some(json!({}))),
            Value::Object(map) => map,
            other => return Err(bare_mismatch(&other, OBJECT_META.qualified())),
        };
        let around = (self.place.clone(), std::mem::replace(&mut self.path, std::mem::take(&mut self.place)));
        self.object(&mut map, &OBJECT_META)?;
        (self.place, self.path) = around;
        if !is_root {
            drop_empty(&mut map, &OBJECT_META);
        }
        Ok(Some(map.into()))
    }

    fn lenient(&mut self, value: Value, shape: &Shape) -> Result<Value, TypeError> {
        match (shape, value) {
            (Shape::Any, value) => Ok(value),
            (Shape::Struct(of), Value::Object(map)) => match &of.custom {
                Some(custom) => self.custom(map, of, custom).map(Value::Object),
                None => {
                    let mut value = Value::Object(map);
                    self.value(&mut value, Wanted { shape, go: "", within: of })?;
                    Ok(value)
                }
            },
            (Shape::Struct(of), list @ Value::Array(_)) if keeps_all(of) => Ok(list),
            (Shape::Map(of), Value::Object(map)) => {
                let mut kept = Map::with_capacity(map.len());
                for (name, value) in map {
                    let outer = self.step(&name, true);
                    let value = self.lenient(value, of)?;
                    self.leave(outer);
                    kept.insert(name, value);
                }
                Ok(kept.into())
            }
            (Shape::List(of), Value::Array(items)) => self.lenient_list(items, of),
            (Shape::Opaque, Value::Object(map)) => {
                for (name, _) in map {
                    let outer = self.step(&name, false);
                    self.prune();
                    self.leave(outer);
                }
                Ok(json!({}))
            }
            (Shape::Opaque, Value::Array(items)) => self.lenient_list(items, &Shape::Opaque),
            (Shape::Opaque, scalar) => Ok(scalar),
            // Of a wrong type: nothing is known of what is within.
            (_, value) => self.lenient(value, &Shape::Opaque),
        }
    }

    fn lenient_list(&mut self, items: Vec<Value>, shape: &Shape) -> Result<Value, TypeError> {
        let mut kept = Vec::with_capacity(items.len());
        for (at, item) in items.into_iter().enumerate() {
            let outer = (self.path.len(), self.place.len());
            let step = format!("[{at}]");
            self.path.push_str(&step);
            self.place.push_str(&step);
            kept.push(self.lenient(item, shape)?);
            self.leave(outer);
        }
        Ok(kept.into())
    }
}
