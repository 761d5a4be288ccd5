"""A typed face for Qt's property, so that mypy sees the value behind it and not a descriptor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Generic, TypeVar, overload

    from PySide6.QtCore import QObject, Signal

    T = TypeVar("T")

    class _Typed(Generic[T]):
        def __get__(self, owner: QObject | None, kind: object = None) -> T: ...

    @overload
    def Property(
        kind: type | str, *, notify: Signal | None = None
    ) -> Callable[[Callable[[Any], T]], _Typed[T]]: ...
    @overload
    def Property(
        kind: type | str,
        read: Callable[[Any], T],
        write: Callable[[Any, T], None],
        *,
        notify: Signal | None = None,
    ) -> _Typed[T]: ...
    def Property(*_args: Any, **_kwargs: Any) -> Any: ...
else:
    from PySide6.QtCore import Property

__all__ = ["Property"]
