// Sortable tables: a click on a column heading sorts by that column, a second click reverses the order.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();

  const compare = (a, b) => {
    if (a === "" || b === "") return 0;
    return isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
  };

  const sort = (column, sign) => {
    const rows = [...table.tBodies[0].rows];
    const missing = (row) => value(row, column) === "";
    rows.sort((a, b) => missing(a) - missing(b) || sign * compare(value(a, column), value(b, column)));
    table.tBodies[0].append(...rows);
  };

  for (const [column, heading] of headings.entries()) {
    heading.querySelector("button")?.addEventListener("click", () => {
      const order = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", order);
      sort(column, order === "ascending" ? 1 : -1);
    });
  }
}
