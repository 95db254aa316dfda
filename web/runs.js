export class RunsView { constructor(root){} show(){} }
