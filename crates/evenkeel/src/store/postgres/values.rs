//! Values of columns, as tokio-postgres takes and gives them.

use std::error::Error as StdError;

use tokio_postgres::Row as SqlRow;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::store::columns::{Columns, Value};

impl ToSql for Value {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self {
            Self::Integer(value) => value.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
            Self::Bytes(bytes) => bytes.to_sql(kind, out),
            Self::Null => Ok(IsNull::Yes),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA].contains(kind)
    }

    to_sql_checked!();
}

/// As parameters of a statement.
pub(super) fn borrow(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

impl Columns for SqlRow {
    fn integer(&self, at: usize) -> Option<i64> {
        self.try_get(at).ok().flatten()
    }

    fn text(&self, at: usize) -> Option<String> {
        self.try_get(at).ok().flatten()
    }

    fn bytes(&self, at: usize) -> Option<Vec<u8>> {
        self.try_get(at).ok().flatten()
    }
}
